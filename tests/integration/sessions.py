"""Sessions in every state in which a process may be replaced."""

import contextlib
import itertools

import process
import wire
from wire import SYNC, bind, copy_data, execute, parse, query

PATIENCE = 30.0
NUMERIC = 1700  # of pg_type
NUMBERS = itertools.count(1)
DATABASES = {"postgres": "", "narrow": "pool_size=1", "paired": "pool_mode=session"}
SETTINGS = {"default_pool_size": "20", "max_client_conn": "100"}


def data(messages):
    return [body[6:].decode() for kind, body in messages if kind == "D"]


def errors(messages):
    return [wire.fields(body)["C"] for kind, body in messages if kind == "E"]


class Sessions:
    """A session in every state in which one can be, and what it expects of its next process."""

    def __init__(self, peer, postgres):
        """`peer` has a host, a port and pool(database); its databases are DATABASES."""
        self.peer = peer
        self.postgres = postgres
        self.all = {}
        for name in ("idle", "begun", "portal", "copies", "half", "pipeline", "listens", "sleeps"):
            self.open(name)
        self.open("pair", database="paired")
        self.open("holds", database="narrow")
        self.open("waits", database="narrow")
        self.open("console", user="admin", database="pgbouncer")
        self.all["silent"] = wire.Wire(peer.host, peer.port, PATIENCE)
        self.begin()

    def open(self, name, **login):
        self.all[name] = wire.connect(self.peer, PATIENCE, application_name=name, **login)

    def __getattr__(self, name):
        return self.all[name]

    def begin(self):
        self.idle.rows("set timezone = 'Asia/Tokyo'")
        self.idle.send(parse("select pg_typeof($1)::text", "type_of", types=[NUMERIC]) + SYNC)
        self.idle.read_until()
        for client, name in ((self.begun, "mine"), (self.copies, "copied")):
            client.ask(f"begin; create temp table {name} (x int) on commit drop")
            client.ask(f"insert into {name} values (7)")
        self.portal.send(parse("begin") + bind() + execute() + parse("select generate_series(1, 5)") +
                         bind(portal="p") + execute("p", 2) + SYNC)
        assert data(self.portal.read_until()) == ["1", "2"]
        self.copies.send(query("copy copied from stdin"))
        self.copies.read_until("G")
        self.row = copy_data("8\n") * 3
        self.copies.send(self.row[:-3])
        self.question = query("select 'whole'")
        self.half.send(self.question[:9])
        self.pipeline.send(b"".join(parse(f"select {n}, pg_sleep({0.4 if n == 0 else 0})") + bind() +
                                    execute() + SYNC for n in range(3)))
        self.listens.ask("listen a; listen b")
        self.listens.ask("unlisten b")
        sleep = f"select pg_sleep(60), {next(NUMBERS)}"
        self.sleeps.send(query(sleep))
        self.pair.ask("create temp table kept (x int); insert into kept values (9)")
        self.holds.ask("begin")
        self.waits.send(query("select 'at last'"))
        process.until(lambda: int(self.peer.pool("narrow")["cl_waiting"]) == 1, "one waits")
        process.until(lambda: self.postgres.ask(
            "select 1 from pg_stat_activity where query = %s and state = 'active'", sleep),
                      "one sleeps")

    def check(self):
        """After an upgrade: nobody has noticed."""
        self.check_idle()
        assert self.begun.rows("select x from mine") == ["7"]
        self.begun.ask("commit")
        self.portal.send(execute("p") + parse("commit") + bind() + execute() + SYNC)
        assert data(self.portal.read_until()) == ["3", "4", "5"]
        self.copies.send(self.row[-3:] + wire.COPY_DONE)
        assert [kind for kind, _ in self.copies.read_until()] == ["C", "Z"]
        assert self.copies.rows("select sum(x) from copied") == ["31"]
        self.half.send(self.question[9:])
        assert data(self.half.read_until()) == ["whole"]
        for number in range(3):
            messages = self.pipeline.read_until()
            assert [kind for kind, _ in messages] == ["1", "2", "D", "C", "Z"], number
        wire.cancel(self.peer, self.sleeps.key)
        assert errors(self.sleeps.read_until()) == ["57014"]
        assert self.pair.rows("select x from kept") == ["9"]
        self.holds.ask("commit")
        assert data(self.waits.read_until()) == ["at last"]
        assert self.console.ask("show version")[-1][0] == "Z"
        self.silent.login()
        assert self.silent.rows("select 1") == ["1"]
        self.check_listens()

    def check_after_crash(self, listens=True):
        """Who was idle goes on, the others get one error."""
        self.check_idle()
        for each in ("begun", "pair", "holds", "waits"):
            assert errors(self.all[each].read_to_end()) == ["57P01"], each
        for each in ("copies", "sleeps"):
            assert errors(self.all[each].read_to_end()) == ["08007"], each
        # What it has said may have been read by then, or not.
        with contextlib.suppress(OSError):
            self.half.send(self.question[9:])
        said = []
        with contextlib.suppress(wire.Closed):
            while not said or said[-1][0] != "Z":
                said.append(self.half.read())
        assert errors(said) == ["57P01"] or data(said) == ["whole"]
        # And this one may still have been the kernel's (tcp_defer_accept).
        with contextlib.suppress(OSError, wire.Closed):
            assert self.silent.login()[-1][0] == "Z"
        assert self.console.is_closed(PATIENCE)
        if listens:
            self.check_listens()
        else:
            assert errors(self.listens.read_to_end()) == ["57P01"]

    def check_idle(self):
        assert self.idle.rows("show application_name") == ["idle"]
        assert self.idle.rows("show timezone") == ["Asia/Tokyo"]
        self.idle.send(bind(["41"], statement="type_of") + execute() + SYNC)
        assert data(self.idle.read_until()) == ["numeric"]

    def check_listens(self):
        """It is told of a gap, and of all that comes after it."""
        kind, body = self.listens.read()
        assert kind == "N" and "may have been lost" in wire.fields(body)["M"]
        self.postgres.ask("select pg_notify('b', 'no'), pg_notify('a', 'yes')")
        kind, body = self.listens.read()
        assert kind == "A" and body[4:] == b"a\0yes\0"

    def close(self):
        for client in self.all.values():
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
