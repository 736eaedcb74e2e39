"""One pool over several workers: its limits are exact, nobody is forgotten, servers move."""

import random
import struct
import socket
import threading
import time

import pytest

import process
import wire
from wire import query


def servers(postgres):
    return postgres.ask("select count(*) from pg_stat_activity where usename = 'tester' and "
                        "backend_type = 'client backend'")[0][0]


@pytest.fixture(autouse=True)
def nothing_left(postgres):
    process.until(lambda: servers(postgres) == 0, "earlier servers end")


@pytest.mark.parametrize("workers, size", ((2, 1), (2, 3), (4, 2)))
def test_pool_size_is_exact(postgres, pooler, workers, size):
    peer = pooler(settings={"workers": str(workers), "default_pool_size": str(size)})
    most = []
    stop = threading.Event()

    def work():
        with wire.connect(peer) as connection:
            for _ in range(30):
                connection.rows("select pg_sleep(0.002)")

    def watch():
        while not stop.wait(0.01):
            most.append(servers(postgres))

    threads = [threading.Thread(target=work) for _ in range(16)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert max(most) == size, "the whole pool is used, and no more"
    peer.wait_for_rest()


def test_first_come_first_served_across_workers(pooler):
    peer = pooler(settings={"workers": "2", "default_pool_size": "1"})
    clients = [wire.connect(peer) for _ in range(20)]
    holder = clients.pop()
    holder.ask("create temp sequence turns")  # with one server, every client meets it
    holder.ask("begin")
    for number, client in enumerate(clients):
        client.send(query("select nextval('turns')"))
        process.until(lambda n=number: int(peer.pool()["cl_waiting"]) == n + 1, "it waits")
        time.sleep(0.005)  # across workers the order is kept to within a millisecond
    holder.ask("commit")
    turns = [[int(body[6:]) for kind, body in client.read_until("Z") if kind == "D"][0]
             for client in clients]
    assert turns == list(range(1, len(clients) + 1))
    for client in (holder, *clients):
        client.close()


def test_a_server_goes_to_whoever_waits_wherever_that_is(postgres, pooler):
    """With one server, clients of both workers use it in turn, and it stays the same one."""
    peer = pooler(settings={"workers": "2", "default_pool_size": "1"})
    clients = [wire.connect(peer) for _ in range(6)]
    pids = {client.rows("select pg_backend_pid()")[0] for _ in range(20) for client in clients}
    assert len(pids) == 1
    started = time.monotonic()
    for _ in range(50):
        for client in clients:
            client.rows("select 1")
    assert time.monotonic() - started < 6, "no turn waits for a timer"
    for client in clients:
        client.close()


def test_a_limit_over_pools_is_freed_by_any_worker(postgres, pooler):
    """An idle server of another pool makes room, also when another worker has it."""
    peer = pooler(settings={"workers": "2", "max_db_connections": "1"})
    clients = [wire.connect(peer, user=user) for user in ("tester", "postgres") * 2]
    for _ in range(3):
        for client in clients:
            started = time.monotonic()
            assert client.rows("select 1") == ["1"]
            assert time.monotonic() - started < 3
    for client in clients:
        client.close()


def reset(connection):
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def misbehave(peer, seed, stop, problems, done):
    """A client's life: right things, errors, and leaving at any point."""
    draw = random.Random(seed)
    try:
        while not stop.is_set():
            with wire.connect(peer) as connection:
                for _ in range(draw.randrange(1, 12)):
                    choice = draw.randrange(9)
                    if choice <= 3:
                        assert connection.rows(f"select {seed}") == [str(seed)]
                        done[seed] += 1
                    elif choice == 4:
                        kinds = [kind for kind, _ in connection.ask("select 1/0")]
                        assert kinds[-2:] == ["E", "Z"], kinds
                    elif choice == 5:
                        connection.ask("begin")
                        assert connection.rows(f"select {seed}") == [str(seed)]
                        connection.ask(draw.choice(("commit", "rollback")))
                    elif choice == 6:
                        connection.send(wire.parse(f"select {seed}", "s") + wire.bind(statement="s") +
                                        wire.execute() + wire.close("S", "s") + wire.SYNC)
                        rows = [body[6:] for kind, body in connection.read_until("Z") if kind == "D"]
                        assert rows == [str(seed).encode()]
                    elif choice == 7:
                        connection.send(query("select pg_sleep(0.01)"))
                        reset(connection)
                        break
                    else:
                        connection.ask("begin")
                        connection.send(wire.parse("select 1"))
                        break
    except Exception as problem:  # pylint: disable=broad-except
        problems.append(f"client {seed}: {problem!r}")
        stop.set()


@pytest.mark.parametrize("size", (1, 3))
def test_nobody_is_forgotten(postgres, pooler, size):
    peer = pooler(settings={"workers": "2", "default_pool_size": str(size)})
    stop = threading.Event()
    problems = []
    done = [0] * 40
    threads = [threading.Thread(target=misbehave, args=(peer, seed, stop, problems, done))
               for seed in range(40)]
    for thread in threads:
        thread.start()
    stop.wait(5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert min(done) > 0, f"everybody had a turn: {done}"
    peer.wait_for_rest()
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]
    process.until(lambda: servers(postgres) <= size, "the pool is within its limit")
    pool = peer.pool()
    assert int(pool["cl_active"]) + int(pool["cl_waiting"]) == 0
    lists = {row["list"]: int(row["items"]) for row in peer.show("LISTS")}
    assert lists["used_clients"] <= 1, lists  # the console's own


def test_ends_while_servers_move(postgres, pooler):
    """SIGTERM, twice, in the middle of it all."""
    peer = pooler(settings={"workers": "2", "default_pool_size": "1"})
    stop = threading.Event()

    def work():
        try:
            with wire.connect(peer) as connection:
                while not stop.is_set():
                    connection.rows("select 1")
        except (wire.Closed, OSError, AssertionError):
            pass

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    peer.signal(15)
    peer.signal(15)
    assert peer.process.wait(10) == 0
    stop.set()
    for thread in threads:
        thread.join()
