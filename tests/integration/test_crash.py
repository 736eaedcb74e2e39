"""A process that dies: clients that were idle go on with the next one as if nothing had happened,
others get one error or a closed connection, and PostgreSQL rolls back what they had begun."""

import os
import signal
import struct
import threading

import psycopg
import pytest

import process
import wire
from service import KeptPooler
from wire import SYNC, bind, copy_data, execute, parse, query


@pytest.fixture(scope="module")
def table(postgres):
    postgres.ask("create table crashed (n int)")


@pytest.fixture
def kept(postgres):
    started = []

    def make(**options):
        pooler = KeptPooler(postgres, **options)
        started.append(pooler)
        return pooler.start()

    yield make
    for pooler in started:
        pooler.stop()


def sessions(postgres):
    return postgres.ask("select count(*) from pg_stat_activity where usename = 'tester'")[0][0]


def figures(pooler):
    return {row["key"]: int(row["value"]) for row in pooler.show("STASH")}


def fields_of(messages):
    return [wire.fields(body) for kind, body in messages if kind == "E"]


def written(pooler):
    """An answer may have come before the process has written down that it was given."""
    process.until(lambda: figures(pooler)["in_doubt"] == 0, "everything is written down")


def rest(pooler):
    process.until(lambda: figures(pooler)["pending"] == 0, "nobody does anything")
    written(pooler)


# ---- Idle clients -------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_idle_clients_go_on(postgres, kept, number, monkeypatch):
    # A sanitizer would catch the signal and report it; the process is to die of it.
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:handle_segv=0:handle_abort=0".lstrip(":"))
    pooler = kept(settings={"max_client_conn": "400"})
    clients = [wire.connect(pooler, application_name=f"app {i}") for i in range(300)]
    for i, client in enumerate(clients[::10]):
        client.rows(f"set timezone = 'Etc/GMT+{i % 12}'")
    rest(pooler)
    pooler.crash(number)
    assert figures(pooler)["clients_restored"] == 300
    for i, client in enumerate(clients):
        assert client.rows("show application_name") == [f"app {i}"]
        if i % 10 == 0:
            assert client.rows("show timezone") == [f"Etc/GMT+{i // 10 % 12}"]
    process.until(lambda: sessions(postgres) <= 3, "no session of PostgreSQL is left over")
    for client in clients:
        client.close()
    process.until(lambda: int(pooler.pool()["cl_active"]) == 0 and
                  figures(pooler)["crash_safe"] == 1, "all have left")


def test_again_and_again(kept):
    pooler = kept()
    clients = [wire.connect(pooler) for _ in range(20)]
    key = clients[0].key
    for i in range(6):
        for n, client in enumerate(clients):
            assert client.rows(f"select {i * 100 + n}") == [str(i * 100 + n)]
        clients[i].close()
        clients[i] = wire.connect(pooler)
        rest(pooler)
        pooler.crash()
        # Longer than what a death is blamed on the stash for.
        process.until(lambda: not deaths_counted(pooler), "the process has proven itself")
    assert len({client.key for client in clients}) == 20
    assert key not in {client.key for client in clients}
    ids = [row["id"] for row in pooler.show("CLIENTS")]
    assert len(ids) == len(set(ids))


def deaths_counted(pooler):
    return figures(pooler)["deaths"]


def test_prepared_statements_live_on(kept):
    pooler = kept()
    clients = [wire.connect(pooler) for _ in range(3)]
    for i, client in enumerate(clients):
        for name in ("one", "two", "three"):
            client.send(parse(f"select $1::int + {len(name)}", name) + SYNC)
            client.read_until("Z")
        client.send(wire.close("S", "two") + SYNC)
        client.read_until("Z")
        if i == 1:
            client.rows("deallocate all")
        client.send(parse(f"select $1::int + 100 + {i}", "late") + SYNC)
        client.read_until("Z")
    for _ in range(2):
        rest(pooler)
        pooler.crash()
        for i, client in enumerate(clients):
            client.send(bind(["1"], statement="late") + execute() + SYNC)
            messages = client.read_until("Z")
            assert [body[6:] for kind, body in messages if kind == "D"] == [b"%d" % (101 + i)]
            client.send(bind(["1"], statement="three") + execute() + SYNC)
            messages = client.read_until("Z")
            if i == 1:
                assert fields_of(messages)[0]["C"] == "26000"
            else:
                assert [body[6:] for kind, body in messages if kind == "D"] == [b"6"]
            client.send(bind(["1"], statement="two") + execute() + SYNC)
            assert fields_of(client.read_until("Z"))[0]["C"] == "26000"
            client.send(parse("select 1", "one") + SYNC)
            taken = fields_of(client.read_until("Z"))
            assert (taken and taken[0]["C"] == "42P05") if i != 1 else not taken
            if i == 1:
                client.send(wire.close("S", "one") + SYNC)
                client.read_until("Z")


def test_a_client_with_many_statements(kept):
    pooler = kept()
    with wire.connect(pooler) as client:
        for i in range(500):
            client.send(parse(f"select {i}", f"s{i}") + SYNC)
            client.read_until("Z")
            if i >= 20:
                client.send(wire.close("S", f"s{i - 20}") + SYNC)
                client.read_until("Z")
        rest(pooler)
        pooler.crash()
        client.send(bind(statement="s499") + execute() + SYNC)
        assert [body[6:] for kind, body in client.read_until("Z") if kind == "D"] == [b"499"]
        client.send(bind(statement="s479") + execute() + SYNC)
        assert fields_of(client.read_until("Z"))[0]["C"] == "26000"
        counts = [int(row["prepared_statements"]) for row in pooler.show("CLIENTS")]
        assert max(counts) == 20


def test_parameters_of_the_moment(kept):
    pooler = kept()
    with wire.connect(pooler) as one, wire.connect(pooler) as two:
        for i in range(300):
            one.rows(f"set application_name = 'n{i}'")
        two.rows("begin")
        two.rows("set application_name = 'never'")
        two.rows("rollback")
        rest(pooler)
        pooler.crash()
        assert one.rows("show application_name") == ["n299"]
        assert two.rows("show application_name") == [""]


def test_cancel_keys_live_on(kept, postgres):
    pooler = kept()
    with wire.connect(pooler) as client:
        rest(pooler)
        pooler.crash()
        client.send(query("select pg_sleep(30)"))
        process.until(lambda: postgres.ask("select 1 from pg_stat_activity where state = 'active' "
                                           "and query = 'select pg_sleep(30)'"), "the query runs")
        wire.cancel(pooler, client.key)
        assert fields_of(client.read_until("Z"))[0]["C"] == "57014"


def test_what_waits_in_the_socket_is_answered(kept):
    pooler = kept()
    with wire.connect(pooler) as client:
        rest(pooler)
        pooler.kill()
        client.send(query("select 42"))
        pooler.restart()
        assert [body[6:] for kind, body in client.read_until("Z") if kind == "D"] == [b"42"]


def test_an_end_is_seen_by_the_peer(kept):
    """The vault has a copy of each socket, so that a close alone would end nothing."""
    pooler = kept()
    with wire.connect(pooler) as client, wire.connect(pooler) as other:
        client.send(wire.TERMINATE)
        assert client.is_closed()
        row = [row for row in pooler.show("CLIENTS") if row["database"] == "postgres"][0]
        with pooler.console() as console:
            console.execute(f"KILL_CLIENT {row['id']}")
        assert fields_of(other.read_to_end())[0]["C"] == "57P01"


# ---- What an idle client listens to -------------------------------------------------------------

def gap(client, *channels):
    """It is told that notifications may have been lost, and of each channel if that is wanted."""
    kind, body = client.read()
    assert kind == "N" and "may have been lost" in wire.fields(body)["M"]
    told = [client.read() for _ in channels]
    assert [(kind, body[4:]) for kind, body in told] == [
        ("A", channel.encode() + b"\0\0") for channel in channels]


def heard(client):
    kind, body = client.read()
    assert kind == "A"
    return body[4:-1].decode().replace("\0", "=")


@pytest.mark.parametrize("notify", ["0", "1"])
def test_who_listens_goes_on(postgres, kept, notify):
    pooler = kept(settings={"listen_gap_notify": notify})
    told = notify == "1"
    with wire.connect(pooler, 30) as one, wire.connect(pooler, 30) as two, \
            wire.connect(pooler, 30) as none:
        one.ask("listen a; listen b")
        one.ask("listen \"c d\"")
        one.ask("begin; listen e")
        one.ask("rollback")
        one.ask("unlisten b")
        two.ask("listen c")
        none.ask("listen a")
        none.ask("unlisten *")
        for everything in (False, True):
            rest(pooler)
            pooler.crash()
            gap(one, *(["a", "c d", "f"] if everything else ["a", "c d"]) if told else [])
            gap(two, *["c"] if told else [])
            postgres.ask("select pg_notify(c, 'x') from unnest('{b,e,a,c,\"c d\",f}'::text[]) c")
            assert [heard(one), heard(one)] == ["a=x", "c d=x"]
            if everything:
                assert heard(one) == "f=x"
            assert heard(two) == "c=x"
            one.ask("listen f")  # by the next process, and written down by it
            assert none.rows("select 1") == ["1"]
            process.until(lambda: not deaths_counted(pooler), "the process has proven itself")
        assert one.rows("select 7") == ["7"]


def test_an_unnamed_statement_is_forgotten(kept):
    """It changes with every query of most drivers, so it is not written down. Nobody gets another
    one in its place."""
    pooler = kept()
    with wire.connect(pooler) as one, wire.connect(pooler) as two:
        one.send(parse("select 'mine'") + SYNC)
        one.read_until("Z")
        rest(pooler)
        pooler.crash()
        two.send(parse("select 'another one'") + SYNC)
        two.read_until("Z")
        one.send(bind() + execute() + SYNC)
        assert [each["C"] for each in fields_of(one.read_until("Z"))] == ["26000"]
        one.send(parse("select 'mine again'") + bind() + execute() + SYNC)
        assert [body[6:] for kind, body in one.read_until("Z") if kind == "D"] == [b"mine again"]


# ---- Clients in the middle of something ---------------------------------------------------------

def test_in_a_transaction(postgres, kept, table):
    pooler = kept()
    with wire.connect(pooler) as client, wire.connect(pooler) as idle:
        client.rows("begin")
        client.rows("insert into crashed values (1)")
        pid = int(client.rows("select pg_backend_pid()")[0])
        written(pooler)
        pooler.crash()
        assert [each["C"] for each in fields_of(client.read_to_end())] == ["57P01"]
        assert wire.backend_ended(postgres, pid, 20)
        assert idle.rows("select count(*) from crashed where n = 1") == ["0"]


def test_in_a_query(postgres, kept, table):
    pooler = kept()
    with wire.connect(pooler) as client, wire.connect(pooler) as idle:
        pid = int(client.rows("select pg_backend_pid()")[0])
        client.send(query("insert into crashed select 2 from pg_sleep(60)"))
        process.until(lambda: postgres.ask(
            "select 1 from pg_stat_activity where query like 'insert into crashed%' "
            "and state = 'active'"), "the query runs")
        written(pooler)
        pooler.crash()
        assert [each["C"] for each in fields_of(client.read_to_end())] == ["08007"]
        assert wire.backend_ended(postgres, pid, 20), "it was not cancelled"
        assert idle.rows("select count(*) from crashed where n = 2") == ["0"]


def test_in_a_copy(postgres, kept, table):
    pooler = kept()
    with wire.connect(pooler) as client, wire.connect(pooler) as idle:
        client.send(query("copy crashed from stdin"))
        client.read_until("G")
        client.send(copy_data("3\n") * 1000)
        process.until(lambda: postgres.ask("select 1 from pg_stat_progress_copy where "
                                           "tuples_processed = 1000"), "the lines have arrived")
        written(pooler)
        pooler.crash()
        assert [each["C"] for each in fields_of(client.read_to_end())] == ["08007"]
        process.until(lambda: not postgres.ask("select 1 from pg_stat_progress_copy"),
                      "the COPY has ended")
        assert idle.rows("select count(*) from crashed where n = 3") == ["0"]


def test_in_the_middle_of_an_answer(kept):
    """The client has a part of a message: nothing that is said now could be understood."""
    pooler = kept()
    with wire.connect(pooler) as client:
        client.send(query("select repeat('x', 20000000)"))
        client.read_bytes(10000)
        pooler.crash()
        messages = client.read_to_end()
        assert not [kind for kind, _ in messages if kind in "EZ"]


def test_half_a_message(kept):
    """What was read of it is lost, so what follows would be nonsense."""
    pooler = kept()
    with wire.connect(pooler) as client, wire.connect(pooler) as idle:
        half = query("select 'half'")
        client.send(half[:9])
        idle.rows("select 1")
        # Another query on the same worker, so that the half message has been read.
        with wire.connect(pooler) as third:
            third.rows("select 1")
        process.until(lambda: figures(pooler)["pending"] == 1, "the half was read")
        written(pooler)
        pooler.crash()
        client.send(half[9:])
        assert [each["C"] for each in fields_of(client.read_to_end())] == ["57P01"]
        assert idle.rows("select 2") == ["2"]


def test_who_waits_for_a_server(kept):
    pooler = kept(settings={"default_pool_size": "1"})
    with wire.connect(pooler) as holder, wire.connect(pooler) as waiting:
        holder.rows("begin")
        waiting.send(query("select 1"))
        process.until(lambda: int(pooler.pool()["cl_waiting"]) == 1, "it waits")
        written(pooler)
        pooler.crash()
        assert [each["C"] for each in fields_of(waiting.read_to_end())] == ["57P01"]


def test_session_mode(postgres, kept):
    pooler = kept(databases={"postgres": "pool_mode=session"})
    with wire.connect(pooler) as linked, wire.connect(pooler) as fresh:
        pid = int(linked.rows("select pg_backend_pid()")[0])
        rest(pooler)
        pooler.crash()
        assert [each["C"] for each in fields_of(linked.read_to_end())] == ["57P01"]
        assert wire.backend_ended(postgres, pid, 20)
        assert fresh.rows("select 1") == ["1"]


def test_under_load(kept, table):
    """Whoever was told of a commit has it, whatever the moment of the death."""
    pooler = kept(settings={"default_pool_size": "5"})
    with pooler.connect() as each:
        each.execute("truncate crashed")
    acknowledged, doubtful, wrong = [], [], []
    stop = threading.Event()

    def work(first):
        number = first
        client = None
        while not stop.is_set():
            number += 1
            try:
                client = client or pooler.connect()
                client.execute("insert into crashed values (%s)", (number,))
                acknowledged.append(number)
            except psycopg.OperationalError:
                doubtful.append(number)
                client = None
            except psycopg.Error as problem:
                wrong.append(repr(problem))
                return

    threads = [threading.Thread(target=work, args=(n * 1_000_000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    idle = [wire.connect(pooler) for _ in range(50)]
    for _ in range(5):
        before = len(acknowledged)
        process.until(lambda: len(acknowledged) > before + 200, "work gets done", patience=30)
        pooler.crash()
        process.until(lambda: not deaths_counted(pooler), "the process has proven itself")
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not wrong
    for client in idle:
        assert client.rows("select 7") == ["7"]
    committed = {int(n) for n in idle[0].rows("select n from crashed")}
    assert set(acknowledged) <= committed <= set(acknowledged) | set(doubtful)


# ---- The stash itself ---------------------------------------------------------------------------

def test_three_deaths_on_the_same_stash(kept):
    pooler = kept()
    with wire.connect(pooler) as client:
        client.rows("select 1")
        for _ in range(4):
            pooler.crash()  # before it has proven itself
        assert client.is_closed()
    assert "are given up" in pooler.read_log()
    with wire.connect(pooler) as client:
        assert client.rows("select 1") == ["1"]


def test_a_stop_leaves_nothing(kept):
    pooler = kept()
    with wire.connect(pooler) as client:
        assert [name for name in pooler.store.names() if name.startswith("stash.")]
        pooler.signal(signal.SIGTERM)
        assert [each["C"] for each in fields_of(client.read_to_end())] == ["57P01"]
        pooler.process.wait(20)
        process.until(lambda: not [name for name in pooler.store.names()
                                   if name.startswith("stash.")], "the store is empty")


def test_without_crash_safe(kept):
    pooler = kept(settings={"crash_safe": "0"})
    with wire.connect(pooler) as client:
        client.rows("select 1")
        assert not [name for name in pooler.store.names() if name.startswith("stash.")]
        pooler.crash()
        assert client.is_closed()


def test_crash_safe_is_switched_off_for_the_next_process(kept):
    pooler = kept()
    with wire.connect(pooler) as client:
        rest(pooler)
        pooler.kill()
        pooler.settings["crash_safe"] = "0"
        pooler.write()
        pooler.restart()
        assert client.rows("select 1") == ["1"]
        client.send(wire.TERMINATE)
        assert client.is_closed()


def test_many_logins_leave_no_garbage(kept):
    pooler = kept(settings={"max_client_conn": "3000"})
    with wire.connect(pooler) as idle:
        for _ in range(20):
            for client in [wire.connect(pooler) for _ in range(100)]:
                client.close()
        process.until(lambda: figures(pooler)["vault_sockets"] < 600, "the vault is tidied",
                      patience=30)
        assert figures(pooler)["clients_not_kept"] == 0
        rest(pooler)
        pooler.crash()
        assert idle.rows("select 1") == ["1"]


def test_more_than_the_kernel_keeps(kept):
    """The limit is of the user: the kernel takes as many sockets as LimitNOFILE says."""
    pooler = kept(files=200)
    clients = []
    try:
        for _ in range(150):
            clients.append(wire.connect(pooler))
        for _ in range(300):
            wire.connect(pooler).close()
        for client in clients:
            assert client.rows("select 1") == ["1"]
    finally:
        for client in clients:
            client.close()


def stored_journal(pooler):
    with pooler.store.lock:
        return next(fd for name, fd in pooler.store.kept if name.startswith("stash.j"))


@pytest.mark.parametrize("at, data, reason", [
    (0, b"?" * 64, "this is no journal"),
    (12, struct.pack("=I", 99), "the journal is of a later release"),
    (16, struct.pack("=I", 7), "the journal's head is damaged"),
], ids=("nonsense", "later", "damaged"))
def test_a_stash_that_cannot_be_used(kept, at, data, reason):
    """It is refused with the reason, its sockets are closed, and nothing of it stays in the store."""
    pooler = kept()
    with wire.connect(pooler) as client:
        client.rows("select 1")
        pooler.kill()
        before = [name for name in pooler.store.names() if name.startswith("stash.")]
        os.pwrite(stored_journal(pooler), data, at)
        pooler.restart()
        assert f"connections of the process before are lost: {before[0]}: {reason}" in (
            pooler.read_log())
        assert client.is_closed()
        # A new one is made, perhaps of the same names: in each second there are some.
        process.until(lambda: len([name for name in pooler.store.names()
                                   if name.startswith("stash.")]) == len(before),
                      "nothing of the old one is left", 30)
        with wire.connect(pooler) as fresh:
            assert fresh.rows("select 1") == ["1"]


def test_one_damaged_record_costs_one_session(kept):
    pooler = kept()
    clients = [wire.connect(pooler) for _ in range(10)]
    rest(pooler)
    pooler.kill()
    journal = stored_journal(pooler)
    records = 4096 + (1 << 20) * 32  # behind the slots
    at = os.pread(journal, 1 << 20, records).rindex(clients[3].key)  # its last record
    os.pwrite(journal, b"!", records + at)
    pooler.restart()
    assert "a record that cannot be used" in pooler.read_log()
    assert clients[3].is_closed()
    assert figures(pooler)["clients_restored"] == 9
    rest(pooler)
    pooler.crash()
    assert pooler.read_log().count("a record that cannot be used") == 1, "it was forgotten"
    for client in clients[:3] + clients[4:]:
        assert client.rows("select 1") == ["1"]
        client.close()
