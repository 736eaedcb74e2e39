"""Other clients of the same pool, who use its servers while the client under test does not.

An action is [number of the client, what it does]. Whoever would have to wait for a server that only
the client under test can free does nothing instead.
"""

import wire

OTHERS = 2
# Texts that the client under test prepares too, so that statements are shared and evicted.
SHARED_TEXTS = ["select $1::int4 + 1", "select k, v from t order by k", "select 10 / $1::int4",
                "insert into t values ($1, $2)", "select generate_series(1, $1::int4)"]


class Others:
    def __init__(self, peer, database, size, patience):
        self.peer = peer
        self.database = database
        self.size = size
        self.patience = patience
        self.clients = {}
        self.holds = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients.values():
            client.close()

    def client(self, number):
        if number not in self.clients:
            self.clients[number] = wire.connect(self.peer, self.patience, database=self.database,
                                                application_name=f"other {number}")
        return self.clients[number]

    def act(self, action, needs_server):
        number, what = action
        free = self.size - needs_server - len(self.holds - {number})
        if free < 1:
            return
        getattr(self, what)(number, self.client(number))

    def done(self, client, data, syncs=1):
        """Sends `data` and reads to its last ReadyForQuery; returns the frames."""
        client.send(data)
        frames = client.read_until("Z" * syncs)
        return frames

    def select(self, number, client):
        """Its own answer reaches each client."""
        word = f"for {number}"
        frames = self.done(client, wire.query(f"select '{word}'"))
        if number in self.holds or not any(kind == "E" for kind, _ in frames):
            assert any(word.encode() in body for kind, body in frames if kind == "D"), frames

    def unnamed(self, number, client):
        frames = self.done(client, wire.parse("select 'unnamed of ' || $1") + wire.bind(["other"]) +
                           wire.execute() + wire.SYNC)
        assert any(b"unnamed of other" in body for kind, body in frames if kind == "D"), frames

    def named(self, number, client):
        """Shares its statements, or has them evicted."""
        for place, sql in enumerate(SHARED_TEXTS):
            name = f"n{place}"
            frames = self.done(client, wire.parse(sql, name) + wire.describe("S", name) +
                               wire.close("S", name) + wire.SYNC)
            kinds = "".join(kind for kind, _ in frames)
            assert kinds in ("1tT3Z", "1tn3Z"), frames

    def settings(self, number, client):
        self.done(client, wire.query("set datestyle = 'SQL, DMY'") +
                  wire.query("set timezone = 'America/Lima'"), 2)

    def dirt(self, number, client):
        self.done(client, wire.query("set work_mem = '3MB'"))

    def sql_names(self, number, client):
        name = f"o{number}"
        sql = [f"prepare {name} (int4) as select $1 + 40", f"execute {name} (2)",
               f"deallocate {name}"]
        frames = self.done(client, b"".join(map(wire.query, sql)), 3)
        assert any(body.endswith(b"42") for kind, body in frames if kind == "D"), frames

    def error(self, number, client):
        if number not in self.holds:
            self.done(client, wire.parse("select 1 / 0") + wire.bind() + wire.execute() + wire.SYNC)

    def discard(self, number, client):
        if number not in self.holds:
            self.done(client, wire.query("discard all"))

    def begin(self, number, client):
        """Holds a server until `end`. Only where another is left for the client under test."""
        if self.size > len(self.holds | {number}):
            self.done(client, wire.query("begin"))
            self.holds.add(number)

    def end(self, number, client):
        self.done(client, wire.query("rollback"))
        self.holds.discard(number)

    def leave(self, number, client):
        """In the middle of something."""
        client.send(wire.parse("select 1", "left") + wire.bind(statement="left"))
        client.close()
        del self.clients[number]
        self.holds.discard(number)


ACTIONS = ["select", "unnamed", "named", "settings", "dirt", "error", "discard",
           "sql_names", "begin", "end", "leave"]
