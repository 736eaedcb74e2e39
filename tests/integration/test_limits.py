"""Limits are exact, time-outs end what they should, and queues are fair."""

import threading
import time

import pytest

import process
import wire
from wire import query


def code(messages):
    return [wire.fields(body)["C"] for kind, body in messages if kind == "E"]


def servers(postgres):
    return postgres.ask("select count(*) from pg_stat_activity where usename = 'tester' and "
                        "backend_type = 'client backend'")[0][0]


@pytest.fixture(autouse=True)
def nothing_left(postgres):
    """The servers of earlier poolers are gone before a test counts its own."""
    process.until(lambda: servers(postgres) == 0, "earlier servers end")


def test_max_client_conn(pooler):
    peer = pooler(settings={"max_client_conn": "5"})
    clients = [wire.connect(peer) for _ in range(5)]
    with wire.Wire(peer.host, peer.port) as sixth:
        error = wire.fields(sixth.login()[-1][1])
        assert (error["S"], error["C"]) == ("FATAL", "53300")
    assert clients[0].rows("select 1") == ["1"]
    clients.pop().close()
    process.until(lambda: _logs_in(peer), "the place is free again")
    for client in clients:
        client.close()


def _logs_in(peer):
    with wire.Wire(peer.host, peer.port) as connection:
        return connection.login()[-1][0] == "Z"


@pytest.mark.parametrize("mode, size", (("transaction", 1), ("transaction", 4), ("session", 4),
                                        ("statement", 2)))
def test_pool_size_is_never_exceeded(postgres, pooler, mode, size):
    peer = pooler(settings={"pool_mode": mode, "default_pool_size": str(size)})
    most = []
    stop = threading.Event()

    def work():
        for _ in range(20):
            with wire.connect(peer) as connection:
                for _ in range(5):
                    connection.ask("select pg_sleep(0.002)")

    def watch():
        while not stop.wait(0.01):
            most.append(servers(postgres))

    threads = [threading.Thread(target=work) for _ in range(20)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert max(most) == size, "the whole pool is used, and no more"


def test_first_come_first_served(pooler):
    peer = pooler(settings={"default_pool_size": "1"})
    clients = [wire.connect(peer) for _ in range(12)]
    holder = clients.pop()
    holder.ask("create temp sequence turns")  # with one server, every client meets it
    holder.ask("begin")
    turns = {}

    def ask(number):
        turns[int(clients[number].rows("select nextval('turns')")[0])] = number

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(clients))]
    for number, thread in enumerate(threads):
        thread.start()
        process.until(lambda n=number: int(peer.pool()["cl_waiting"]) == n + 1, "it waits")
        time.sleep(0.003)  # across workers the order is kept to within 1 ms
    holder.ask("commit")
    for thread in threads:
        thread.join()
    assert [turns[turn] for turn in sorted(turns)] == list(range(len(clients))), turns
    for client in (holder, *clients):
        client.close()


def test_query_wait_timeout(pooler):
    peer = pooler(settings={"default_pool_size": "1", "query_wait_timeout": "1"})
    with wire.connect(peer) as holder, wire.connect(peer) as waiting:
        holder.ask("begin")
        started = time.monotonic()
        waiting.send(query("select 1"))
        messages = waiting.read_to_end()
        assert 0.8 < time.monotonic() - started < 4
        assert len(code(messages)) == 1
        assert holder.ask("commit")[-1] == ("Z", b"I")
    peer.wait_for_rest()


def test_client_idle_timeout(pooler):
    peer = pooler(settings={"client_idle_timeout": "1"})
    with wire.connect(peer) as idle:
        idle.rows("select 1")
        started = time.monotonic()
        messages = idle.read_to_end()
        assert 0.8 < time.monotonic() - started < 4
        assert len(code(messages)) == 1


def test_idle_transaction_timeout(postgres, pooler):
    peer = pooler(settings={"idle_transaction_timeout": "1", "default_pool_size": "1"})
    with wire.connect(peer) as idle, wire.connect(peer) as other:
        idle.ask("begin")
        assert len(code(idle.read_to_end())) == 1
        assert other.rows("select 1") == ["1"]
        assert other.rows("select pg_sleep(1.5)") == [""], "a running query is not idle"


def test_query_timeout(postgres, pooler):
    peer = pooler(settings={"query_timeout": "1"})
    with wire.connect(peer) as slow:
        slow.send(query("select pg_sleep(30)"))
        assert len(code(slow.read_to_end())) == 1
    assert process.until(lambda: not postgres.ask(
        "select 1 from pg_stat_activity where query like 'select pg_sleep(30)%%' and "
        "state = 'active'"), "the query ends")


def test_server_idle_timeout(postgres, pooler):
    peer = pooler(settings={"server_idle_timeout": "1"})
    with wire.connect(peer) as connection:
        connection.rows("select 1")
        assert servers(postgres) == 1
        process.until(lambda: servers(postgres) == 0, "the idle server is closed")
        assert connection.rows("select 2") == ["2"]


def test_server_lifetime(postgres, pooler):
    peer = pooler(settings={"server_lifetime": "1"})
    with wire.connect(peer) as connection:
        first = connection.rows("select pg_backend_pid()")
        process.until(lambda: connection.rows("select pg_backend_pid()") != first, "a new server")


def test_min_pool_size(postgres, pooler):
    peer = pooler(settings={"min_pool_size": "2", "default_pool_size": "4"})
    with wire.connect(peer) as connection:
        connection.rows("select 1")
        process.until(lambda: servers(postgres) == 2, "two servers are kept")


def test_reserve_pool(postgres, pooler):
    peer = pooler(settings={"default_pool_size": "1", "reserve_pool_size": "1",
                            "reserve_pool_timeout": "1"})
    with wire.connect(peer) as holder, wire.connect(peer) as waiting:
        holder.ask("begin")
        started = time.monotonic()
        assert waiting.rows("select 1") == ["1"]
        assert 0.8 < time.monotonic() - started < 5
        assert servers(postgres) == 2


@pytest.mark.parametrize("setting", ("max_db_connections", "max_user_connections"))
def test_limits_over_pools(postgres, pooler, setting):
    peer = pooler(settings={setting: "2", "default_pool_size": "5"})
    clients = [wire.connect(peer) for _ in range(6)]
    for client in clients:
        client.send(query("select pg_sleep(0.3)"))
    time.sleep(0.2)
    assert servers(postgres) == 2
    for client in clients:
        assert code(client.read_until("Z")) == []
        client.close()


def test_dead_server_is_noticed_while_its_client_idles_in_a_transaction(postgres, pooler):
    peer = pooler()
    with wire.connect(peer) as connection:
        connection.ask("begin")
        pid = int(connection.rows("select pg_backend_pid()")[0])
        postgres.ask("select pg_terminate_backend(%s)", pid)
        started = time.monotonic()
        messages = connection.read_to_end()
        assert time.monotonic() - started < 2
        assert code(messages)[:1] == ["57P01"]
    peer.wait_for_rest()
