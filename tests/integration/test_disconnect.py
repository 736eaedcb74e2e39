"""A client that leaves at any point costs the next one nothing: with one server in the pool, the
next client finds it clean, and all counters come back to zero."""

import time

import pytest

import process
import wire
from wire import (COPY_DONE, FLUSH, SYNC, bind, copy_data, copy_fail, execute, parse, query)

BEGIN = query("begin")
WRITE = query("insert into left_behind values (1)")

# Each is the messages of one exchange: the client leaves after each of them, and within each.
EXCHANGES = {
    "simple": [query("select 1"), query("select 2")],
    "block": [BEGIN, WRITE, query("select 1"), query("rollback")],
    "failed block": [BEGIN, query("select 1/0"), query("select 1"), query("rollback")],
    "settings": [query("set work_mem = '1234kB'"), query("set datestyle = 'German'"),
                 query("set session characteristics as transaction read only")],
    "cursor": [BEGIN, query("declare c cursor with hold for select generate_series(1, 100)"),
               query("fetch 1 c"), query("rollback")],
    "copy in": [query("copy left_behind from stdin"), copy_data("7\n"), copy_data("8\n"),
                copy_fail("stop")],
    "copy in in a block": [BEGIN, query("copy left_behind from stdin"), copy_data("7\n"),
                           COPY_DONE, query("rollback")],
    "copy out": [query("copy (select repeat('x', 1000) from generate_series(1, 50000)) to stdout"),
                 query("select 1")],
    "wide result": [query("select repeat('x', 1000) from generate_series(1, 50000)")],
    "extended": [parse("insert into left_behind values ($1)"), bind(["5"]), execute(), FLUSH,
                 parse("select 1/0"), bind(), execute(), SYNC],
    "extended copy": [parse("copy left_behind from stdin"), bind(), execute(), FLUSH,
                      copy_data("9\n"), copy_fail("stop"), SYNC],
    "named": [parse("select $1::int", "mine"), FLUSH, bind(["1"], statement="mine"), execute(),
              SYNC],
    "long query": [query("select pg_sleep(20)")],
    "long query in a block": [BEGIN, query("select pg_sleep(20)"), query("rollback")],
    "terminate in a block": [BEGIN, WRITE, wire.TERMINATE],
}

# One byte, a cut header, all but the last byte: the places within a message that differ.
CUTS = (1, 3, 5, -1)

CLEAN = """select (select count(*) from left_behind), (select count(*) from pg_cursors),
  current_setting('work_mem'), current_setting('datestyle'),
  current_setting('default_transaction_read_only'), now() = statement_timestamp()"""


@pytest.fixture(scope="module")
def pooler(postgres, shared_pooler):
    postgres.ask("create table left_behind (n int)")
    return shared_pooler(settings={"default_pool_size": "1", "query_wait_timeout": "15",
                                   "server_reset_query": "DISCARD ALL"},
                         databases={"postgres": "", "session": "pool_mode=session"})


def leave(pooler, database, data, pause, reset):
    """A client that sends `data` and goes, with a FIN or (reset) with unread data and a RST."""
    with wire.connect(pooler, database=database) as connection:
        connection.send(data)
        time.sleep(pause)
        if not reset:
            connection.socket.shutdown(1)


def check_next(postgres, pooler, database, what):
    started = time.monotonic()
    with wire.connect(pooler, database=database) as connection:
        messages = connection.ask(CLEAN)
        assert [kind for kind, _ in messages] == ["T", "D", "C", "Z"], f"{what}: {messages}"
        assert messages[-1][1] == b"I", what
        row = [value.encode() for value in ("0", "0", "4MB", "ISO, MDY", "off", "t")]
        for value in row:
            assert len(value).to_bytes(4, "big") + value in messages[1][1], f"{what}: {messages[1]}"
        assert connection.ask("insert into left_behind values (0)")[-1] == ("Z", b"I")
        assert connection.ask("delete from left_behind")[-1] == ("Z", b"I")
    assert time.monotonic() - started < 5, f"{what}: the next client waited"
    process.until(lambda: not postgres.ask(
        "select 1 from pg_stat_activity where usename = 'tester' and state <> 'idle'"),
                  f"{what}: PostgreSQL is at rest")


@pytest.mark.parametrize("reset", (False, True), ids=("fin", "rst"))
@pytest.mark.parametrize("database", ("postgres", "session"))
@pytest.mark.parametrize("name", EXCHANGES)
def test_next_client_finds_a_clean_server(postgres, pooler, name, database, reset):
    exchange = EXCHANGES[name]
    for number, message in enumerate(exchange):
        before = b"".join(exchange[:number])
        for cut in (None, *CUTS):
            data = before + (message if cut is None else message[:cut])
            # A short pause lets the server begin; none tests data and FIN in one wake-up.
            for pause in (0.0, 0.02):
                leave(pooler, database, data, pause, reset)
                check_next(postgres, pooler, database,
                           f"left after {number} messages and {cut} bytes, pause {pause}")
    pooler.wait_until_nothing_is_left()


def test_query_of_a_client_that_left_is_ended(postgres, pooler):
    """Nobody waits for its answer, so it must not hold the only server."""
    with wire.connect(pooler) as connection:
        connection.send(query("select pg_sleep(60)"))
        process.until(lambda: postgres.ask("select 1 from pg_stat_activity where query like "
                                           "'select pg_sleep(60)%%' and state = 'active'"),
                      "the query runs")
    process.until(lambda: not postgres.ask("select 1 from pg_stat_activity where query like "
                                           "'select pg_sleep(60)%%' and state = 'active'"),
                  "the query ends", patience=5)


def test_many_leave_at_once(postgres, pooler):
    """A hundred clients that wait for one server all go; it then serves as if nothing had been."""
    clients = [wire.connect(pooler) for _ in range(100)]
    for client in clients:
        client.send(query("select pg_sleep(0.5)"))
    time.sleep(0.1)
    for client in clients:
        client.close()
    check_next(postgres, pooler, "postgres", "after a hundred left")
    pooler.wait_for_rest()


def test_server_that_dies_in_mid_answer(postgres, pooler):
    """Its client gets an error and the end; the next one gets a new server."""
    with wire.connect(pooler) as connection:
        pid = int(connection.rows("select pg_backend_pid()")[0])
        connection.send(query("select pg_sleep(30)"))
        time.sleep(0.1)
        postgres.ask("select pg_terminate_backend(%s)", pid)
        messages = connection.read_to_end()
        assert [wire.fields(body)["C"] for kind, body in messages if kind == "E"][0] == "57P01"
    check_next(postgres, pooler, "postgres", "after the server died")
    pooler.wait_for_rest()


def test_server_that_dies_while_idle(postgres, pooler):
    for _ in range(5):
        with wire.connect(pooler) as connection:
            pid = int(connection.rows("select pg_backend_pid()")[0])
            postgres.ask("select pg_terminate_backend(%s)", pid)
            assert wire.backend_ended(postgres, pid)
            time.sleep(0.05)
            assert connection.rows("select 7") == ["7"], "an idle client is not touched"
