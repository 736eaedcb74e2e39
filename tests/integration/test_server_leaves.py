"""A server that leaves after any byte of its answer: its client is told or closed, and with one
server in the pool the next client finds a clean one."""

import contextlib
import select
import socket
import struct
import threading

import pytest

import wire
from wire import SYNC, bind, copy_data, copy_fail, execute, parse, query

MARK = b"/* here */"

CLEAN = """select (select count(*) from left_behind), (select count(*) from pg_cursors),
  current_setting('datestyle'), now() = statement_timestamp()"""


class Leaver:
    """Stands before PostgreSQL and ends each connection after `after` bytes of its answers to the
    next query that holds MARK; None: never. With `reset`, by a RST."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.after, self.reset = None, False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],),
                                 daemon=True).start()

    def _serve(self, pooler):
        server = socket.create_connection((self.postgres.host, self.postgres.port))
        left = None  # bytes that may still pass to the pooler
        with pooler, server, contextlib.suppress(OSError):
            while True:
                for ready in select.select((pooler, server), (), ())[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is pooler:
                        if left is None and self.after is not None and MARK in data:
                            left = self.after
                            self.after = None  # once
                        server.sendall(data)
                    else:
                        pooler.sendall(data if left is None else data[:left])
                    if left is not None and ready is server:
                        left -= len(data)
                    if left is not None and left <= 0:
                        if self.reset:
                            pooler.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                              struct.pack("ii", 1, 0))
                        self.ended.set()
                        return


@pytest.fixture(scope="module")
def leaver(postgres, shared_pooler):
    postgres.ask("create table left_behind (n int)")
    relay = Leaver(postgres)
    host = f"host=127.0.0.1 port={relay.port} dbname=postgres"
    yield shared_pooler(settings={"default_pool_size": "1", "server_login_retry": "0"},
                        databases={"postgres": host}), relay
    relay.close()


ANSWERS = {
    "simple": query("select 'a row' /* here */"),
    "error": query("select 1/0 /* here */"),
    "block": query("begin /* here */"),
    "extended": parse("select 'a row' /* here */") + bind() + wire.describe() + execute() + SYNC,
    "named": parse("select 7 /* here */", "mine") + bind(statement="mine") + execute() + SYNC,
    "pipeline": parse("select 1 /* here */") + bind() + execute() + SYNC + query("select 2"),
    "copy out": query("copy (select 'a row') to stdout /* here */"),
    "copy in": query("copy left_behind from stdin /* here */") + copy_data("7\n") + copy_fail("no"),
    "setting": query("set datestyle = 'German' /* here */"),
}


def length_of_answer(postgres, data):
    """In bytes, from the server itself."""
    with wire.connect(postgres) as direct:
        direct.send(data + query("select 'the end'"))
        size = column_size = 0
        while True:
            kind, body = direct.read()
            if b"the end" in body:
                return size - column_size
            column_size = 5 + len(body) if kind == "T" else 0
            size += 5 + len(body)


@pytest.mark.parametrize("name", ANSWERS)
def test_server_leaves_at_every_byte_of_its_answer(postgres, leaver, name):
    """Whatever of the answer had come: the client is told or closed, the next one is served by a
    clean server, and nothing is left over."""
    peer, relay = leaver
    data = ANSWERS[name]
    size = length_of_answer(postgres, data)
    assert size > 5
    with wire.connect(postgres) as direct:
        clean = direct.ask(CLEAN)[1:]
    for after in range(size):
        relay.ended.clear()
        relay.after, relay.reset = after, after % 2 == 1
        with wire.connect(peer) as connection:
            connection.send(data)
            assert connection.is_closed(10), f"after {after} bytes the client still waits"
        assert relay.ended.is_set()
        with wire.connect(peer) as connection:
            assert connection.ask(CLEAN)[1:] == clean, f"after {after} bytes"
    peer.wait_until_nothing_is_left()
