"""Cancel reaches the right query, and never another one."""

import threading
import time

import pytest

import process
import wire
from wire import SYNC, bind, execute, parse, query


@pytest.fixture
def single(pooler):
    return pooler(settings={"default_pool_size": "1"})


def sleeping(postgres, text="pg_sleep"):
    return postgres.ask("select count(*) from pg_stat_activity where state = 'active' and query "
                        "like %s and pid <> pg_backend_pid()", f"%{text}%")[0][0]


def state_of(messages):
    return [wire.fields(body)["C"] for kind, body in messages if kind == "E"]


@pytest.mark.parametrize("size", ("1", "3"))
@pytest.mark.parametrize("data", (query("select pg_sleep(30)"),
                                  parse("select pg_sleep(30)") + bind() + execute() + SYNC),
                         ids=("simple", "extended"))
def test_running_query_is_cancelled(postgres, pooler, size, data):
    peer = pooler(settings={"default_pool_size": size})
    with wire.connect(peer) as connection:
        connection.send(data)
        process.until(lambda: sleeping(postgres), "the query runs")
        wire.cancel(peer, connection.key)
        messages = connection.read_until("Z")
        assert state_of(messages) == ["57014"]
        assert connection.rows("select 1") == ["1"]


def test_cancel_whose_sender_leaves_at_once(postgres, single):
    """As several drivers do: connect, send, close, without waiting for the end."""
    with wire.connect(single) as connection:
        connection.send(query("select pg_sleep(30)"))
        process.until(lambda: sleeping(postgres), "the query runs")
        with wire.Wire(single.host, single.port) as other:
            other.send(wire.cancel_request(connection.key))
        assert state_of(connection.read_until("Z")) == ["57014"]


def test_cancel_of_an_idle_client_does_nothing(single):
    with wire.connect(single) as connection:
        assert connection.rows("select 1") == ["1"]
        wire.cancel(single, connection.key)
        assert connection.rows("select 2") == ["2"]


def test_cancel_with_an_unknown_key_does_nothing(postgres, single):
    with wire.connect(single) as connection:
        connection.send(query("select pg_sleep(0.5)"))
        process.until(lambda: sleeping(postgres), "the query runs")
        wrong = bytes([connection.key[0] ^ 1]) + connection.key[1:]
        wire.cancel(single, wrong)
        wire.cancel(single, connection.key[:4] + b"\0\0\0\0")
        assert state_of(connection.read_until("Z")) == []


def test_cancel_of_a_waiting_client_does_not_hit_the_running_one(postgres, single):
    with wire.connect(single) as running, wire.connect(single) as waiting:
        running.send(query("select pg_sleep(1)"))
        process.until(lambda: sleeping(postgres), "the query runs")
        waiting.send(query("select 5"))
        wire.cancel(single, waiting.key)
        assert state_of(running.read_until("Z")) == []
        # A waiting query may be refused with 57014 or run: PostgreSQL promises neither.
        assert state_of(waiting.read_until("Z")) in ([], ["57014"])
        assert waiting.rows("select 6") == ["6"]


def test_late_cancels_never_hit_the_next_client(single):
    """Cancels race with the end of their query, while another client uses the same server."""
    stop = threading.Event()
    hits = []

    def victim():
        with wire.connect(single) as connection:
            while not stop.is_set():
                hits.extend(state_of(connection.ask("select pg_sleep(0.001)")))

    thread = threading.Thread(target=victim)
    thread.start()
    try:
        with wire.connect(single) as connection:
            for _ in range(150):
                connection.send(query("select 1"))
                wire.cancel(single, connection.key)
                assert state_of(connection.read_until("Z")) in ([], ["57014"])
    finally:
        stop.set()
        thread.join()
    assert hits == []


def test_cancels_do_not_wait_for_the_pool(postgres, single):
    """The pool is full and others wait: a cancel still goes through."""
    with wire.connect(single) as connection:
        others = [wire.connect(single) for _ in range(20)]
        connection.send(query("select pg_sleep(30)"))
        process.until(lambda: sleeping(postgres), "the query runs")
        for other in others:
            other.send(query("select 1"))
        started = time.monotonic()
        wire.cancel(single, connection.key)
        assert state_of(connection.read_until("Z")) == ["57014"]
        assert time.monotonic() - started < 2
        for other in others:
            assert state_of(other.read_until("Z")) == []
            other.close()
    single.wait_for_rest()
