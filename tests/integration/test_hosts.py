"""Where servers are: host lists, names, unix sockets, hosts that are down or silent."""

import contextlib
import socket
import struct
import threading
import time

import process
import wire


def error_of(peer, **login):
    with wire.Wire(peer.host, peer.port, patience=20) as connection:
        messages = connection.login(**login)
        if messages[-1][0] == "Z":
            connection.send(wire.query("select 1"))
            messages = connection.read_to_end()
    return [wire.fields(body) for kind, body in messages if kind == "E"][0]


class Stub:
    """Listens on a free port; `answer(connection)` says what happens to each connection."""

    def __init__(self, answer, host="127.0.0.2", port=0):
        self.listener = socket.create_server((host, port), backlog=50)
        self.port = self.listener.getsockname()[1]
        self.connections = []
        self._answer = answer
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            self._answer(connection)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()
        for connection in self.connections:
            connection.close()


def silent(_):
    pass


def starting_up(connection):
    """PostgreSQL's answer while it recovers, in two pieces, and bytes that make no sense after it."""
    connection.recv(4096)
    body = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    message = b"E" + struct.pack("!I", len(body) + 4) + body + b"Z\0\0\0\5Ixyz"
    connection.sendall(message[:20])
    time.sleep(0.1)
    connection.sendall(message[20:])
    connection.close()


@contextlib.contextmanager
def stub(postgres, answer):
    """A host 127.0.0.2 with PostgreSQL's port."""
    made = Stub(answer, port=postgres.port)
    try:
        yield made
    finally:
        made.close()


def test_name(postgres, pooler):
    peer = pooler(databases={"postgres": f"host=localhost port={postgres.port} dbname=postgres"})
    with wire.connect(peer) as connection:
        assert connection.rows("select host(inet_server_addr())") == ["127.0.0.1"]


def test_name_that_does_not_exist(postgres, pooler):
    peer = pooler(databases={"postgres": f"host=no-such-host.invalid port={postgres.port}"})
    error = error_of(peer)
    assert error["S"] == "FATAL"
    assert "no-such-host.invalid" in error["M"], error


def test_missing_name_and_refusal_before_a_good_host(postgres, pooler):
    peer = pooler(databases={"postgres": "host=no-such-host.invalid,127.0.0.3,localhost "
                                         f"port={postgres.port} dbname=postgres"})
    for _ in range(3):
        with wire.connect(peer) as connection:
            assert connection.rows("select 1") == ["1"]


def test_unix_socket(postgres, pooler):
    peer = pooler(databases={"postgres": f"host={postgres.folder} port={postgres.port} "
                                         "dbname=postgres"})
    with wire.connect(peer) as connection:
        assert connection.rows("select inet_server_addr() is null") == ["t"]


def test_unix_socket_that_is_not_there(postgres, pooler):
    peer = pooler(databases={"postgres": f"host=/no/such/folder port={postgres.port}"})
    assert "/no/such/folder" in error_of(peer)["M"]


def test_silent_host_is_given_up(postgres, pooler):
    with stub(postgres, silent):
        peer = pooler(settings={"server_connect_timeout": "1"},
                      databases={"postgres": f"host=127.0.0.2 port={postgres.port}"})
        started = time.monotonic()
        error = error_of(peer)
        assert error["S"] == "FATAL"
        assert 0.8 < time.monotonic() - started < 4


def test_next_host_is_tried_after_a_silent_one(postgres, pooler):
    """Also where the order of the hosts is fixed, so that each attempt begins with the silent one.
    """
    with stub(postgres, silent):
        peer = pooler(settings={"server_connect_timeout": "1"}, databases={
            "postgres": f"host=127.0.0.2,127.0.0.1 port={postgres.port} dbname=postgres "
                        "load_balance_hosts=disable"})
        with wire.connect(peer) as connection:
            assert connection.rows("select 1") == ["1"]


def test_no_connect_timeout(postgres, pooler):
    peer = pooler(settings={"server_connect_timeout": "0"})
    with wire.connect(peer) as connection:
        assert connection.rows("select pg_sleep(0.3)") == [""]


def test_next_host_is_tried_after_one_that_starts(postgres, pooler):
    for hosts in ("127.0.0.2,127.0.0.1", "127.0.0.2,localhost"):
        with stub(postgres, starting_up):
            peer = pooler(databases={"postgres": f"host={hosts} port={postgres.port} "
                                                 "dbname=postgres load_balance_hosts=disable"})
            for _ in range(3):
                with wire.connect(peer) as connection:
                    connection.ask("begin")
                    assert connection.rows("select 1") == ["1"]


def hosts_met(peer, count=6):
    """The addresses of `count` servers that are in use at once."""
    clients = [wire.connect(peer) for _ in range(count)]
    for client in clients:
        client.ask("begin")
    met = [client.rows("select host(inet_server_addr())")[0] for client in clients]
    for client in clients:
        client.close()
    return met


def test_load_balance(postgres, pooler):
    # PostgreSQL listens on 127.0.0.1 only: another name of it makes the second host.
    text = f"host=127.0.0.1,localhost port={postgres.port} dbname=postgres "
    for option in ("", "load_balance_hosts=round-robin", "load_balance_hosts=disable"):
        peer = pooler(databases={"postgres": text + option},
                      settings={"default_pool_size": "6", "workers": "1"})
        assert len(hosts_met(peer)) == 6


def test_recovers_without_waiting_when_the_host_comes_back(postgres, pooler):
    port = process.free_port()
    peer = pooler(settings={"server_login_retry": "1"},
                  databases={"postgres": f"host=127.0.0.1 port={port} dbname=postgres"})
    started = time.monotonic()
    errors = [error_of(peer) for _ in range(5)]
    assert time.monotonic() - started < 3, "those who wait are told at once"
    assert {error["S"] for error in errors} == {"FATAL"}
    relay = Stub(lambda c: relay_to(c, postgres), host="127.0.0.1", port=port)
    try:
        process.until(lambda: works(peer), "it works again", patience=4)
    finally:
        relay.close()


def works(peer):
    try:
        with wire.connect(peer, patience=3) as connection:
            return connection.rows("select 1") == ["1"]
    except (AssertionError, wire.Closed, OSError):
        return False


def relay_to(connection, postgres):
    with socket.create_connection((postgres.host, postgres.port)) as server:
        def back():
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    connection.sendall(data)
                connection.close()
        threading.Thread(target=back, daemon=True).start()
        while data := connection.recv(65536):
            server.sendall(data)


def test_login_retry_keeps_the_server_from_being_hammered(postgres, pooler):
    with stub(postgres, starting_up) as host:
        peer = pooler(settings={"server_login_retry": "2", "server_connect_parallel": "1"},
                      databases={"postgres": f"host=127.0.0.2 port={postgres.port}"})
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert error_of(peer)["C"] == "57P03"
        assert len(host.connections) <= 2
