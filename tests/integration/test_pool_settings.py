"""Settings of pools, databases and users: each does what its name says."""

import threading
import time

import pytest

import process
import wire
from wire import query


def backends(postgres, where="usename = 'tester'"):
    return postgres.ask(f"select count(*) from pg_stat_activity where {where} and "
                        "backend_type = 'client backend'")[0][0]


@pytest.fixture(autouse=True)
def nothing_left(postgres):
    process.until(lambda: backends(postgres) == 0, "earlier servers end")


def refused(peer, **login):
    with wire.Wire(peer.host, peer.port) as connection:
        kind, body = connection.login(**login)[-1]
        return wire.fields(body)["C"] if kind == "E" else None


def test_aliases_fallback_and_forced_user(postgres, pooler):
    postgres.ask("create database other")
    host = f"host={postgres.host} port={postgres.port} "
    try:
        peer = pooler(databases={"alias": host + "dbname=other", "forced": host + "dbname=other "
                                 "user=scram_user password=pw-scram_user", "*": host})
        who = "select current_database() || '/' || current_user"
        for database, expected in (("alias", "other/tester"), ("forced", "other/scram_user"),
                                   ("other", "other/tester"), ("postgres", "postgres/tester")):
            with wire.connect(peer, database=database) as connection:
                assert connection.rows(who) == [expected]
        assert refused(peer, database="not_there") == "3D000"
        # Different clients of a forced user share one pool.
        with wire.connect(peer, database="forced", user="postgres") as connection:
            assert connection.rows(who) == ["other/scram_user"]
        assert len([row for row in peer.show("POOLS") if row["database"] == "forced"]) == 1
        peer.stop()
    finally:
        postgres.ask("drop database if exists other with (force)")


def test_nothing_stays_of_names_that_clients_made_up(pooler):
    """Neither of databases that * accepts, once they are idle, nor of logins that fail."""
    peer = pooler(databases={"*": ""}, settings={"autodb_idle_timeout": "0.5", "workers": "2",
                                                 "max_user_connections": "8"})

    def known():
        return ([row["name"] for row in peer.show("DATABASES")],
                [row["name"] for row in peer.show("USERS")],
                {row["list"]: row["items"] for row in peer.show("LISTS")}["pools"])

    before = known()
    for number in range(60):
        name = f"made up {number}"
        with wire.connect(peer, database=name) as connection:
            assert connection.rows("select 1") == ["1"]
            if number == 0:
                databases, _, pools = known()
                assert name in databases and pools == 1
        assert refused(peer, database=name, user=f"nobody {number}") in ("28P01", "28000")
    process.until(lambda: known() == before, "nothing stays")


def test_pool_mode_of_database_and_user(pooler):
    peer = pooler(databases={"t": "", "s": "pool_mode=session"},
                  sections="[users]\npostgres = pool_mode=session\n",
                  settings={"default_pool_size": "1"})
    for login, keeps in (({"database": "t"}, False), ({"database": "s"}, True),
                         ({"database": "t", "user": "postgres"}, True)):
        with wire.connect(peer, **login) as connection:
            connection.rows("select 1")
            active = int(peer.pool(login["database"], login.get("user", "tester"))["sv_active"])
            assert active == (1 if keeps else 0), login


def test_client_limits(pooler):
    peer = pooler(databases={"few": "max_db_client_connections=2", "many": ""},
                  settings={"max_user_client_connections": "4"},
                  sections="[users]\npostgres = max_user_client_connections=1\n")
    held = [wire.connect(peer, database="few") for _ in range(2)]
    assert refused(peer, database="few") == "53300"
    held += [wire.connect(peer, database="many") for _ in range(2)]
    assert refused(peer, database="many") == "53300"
    held.append(wire.connect(peer, database="many", user="postgres"))
    assert refused(peer, database="many", user="postgres") == "53300"
    held.pop(0).close()
    process.until(lambda: refused(peer, database="few") is None, "the place is free again")
    for client in held:
        client.close()


def test_limit_of_a_client_whose_user_is_forced(postgres, pooler):
    """The limit in [users] is the client's own, whoever it becomes on the server."""
    peer = pooler(databases={"postgres": "user=postgres"},
                  sections="[users]\ntester = max_user_client_connections=1\n")
    with wire.connect(peer):
        assert refused(peer) == "53300"
        with wire.connect(peer, user="plain_user"), wire.connect(peer, user="plain_user"):
            pass


def test_min_pool_size_is_kept_warm(postgres, pooler):
    peer = pooler(databases={"postgres": "min_pool_size=2"},
                  settings={"server_idle_timeout": "1", "default_pool_size": "5", "workers": "2"})
    with wire.connect(peer) as connection:
        connection.rows("select 1")
        process.until(lambda: backends(postgres) == 2, "two servers")
        time.sleep(2.5)
        assert backends(postgres) == 2


def test_reserve_pool_of_a_database(postgres, pooler):
    peer = pooler(databases={"postgres": "pool_size=1 reserve_pool_size=1"},
                  settings={"reserve_pool_timeout": "1", "workers": "2"})
    clients = [wire.connect(peer) for _ in range(3)]
    clients[0].ask("begin")
    started = time.monotonic()
    clients[1].ask("begin")
    assert 0.8 < time.monotonic() - started < 3
    clients[2].send(query("select 1"))
    time.sleep(1.5)
    assert backends(postgres) == 2
    for client in clients:
        client.close()


def test_reserve_pool_that_is_switched_off(postgres, pooler):
    peer = pooler(databases={"postgres": "pool_size=1 reserve_pool_size=1"},
                  settings={"reserve_pool_timeout": "0"})
    with wire.connect(peer) as holder, wire.connect(peer) as waiting:
        holder.ask("begin")
        waiting.send(query("select 1"))
        time.sleep(0.7)
        assert backends(postgres) == 1
        holder.ask("commit")
        waiting.read_until("Z")


@pytest.mark.parametrize("where", ("global", "database"))
def test_server_lifetime_0_is_one_use(pooler, where):
    peer = pooler(settings={"server_lifetime": "0"} if where == "global" else {},
                  databases={"postgres": "server_lifetime=0"} if where == "database" else None)
    with wire.connect(peer) as connection:
        pids = {connection.rows("select pg_backend_pid()")[0] for _ in range(4)}
        assert len(pids) == 4


def test_server_lifetime_of_a_database_over_the_global_one(pooler):
    peer = pooler(settings={"server_lifetime": "0"}, databases={"postgres": "server_lifetime=60"})
    with wire.connect(peer) as connection:
        assert len({connection.rows("select pg_backend_pid()")[0] for _ in range(4)}) == 1


def test_server_check(postgres, pooler):
    """A server that died unnoticed is found by the check, not by the client's query."""
    peer = pooler(settings={"server_check_delay": "0", "server_check_query": "select 7 as checked",
                            "default_pool_size": "1"})
    with wire.connect(peer) as connection:
        first = connection.rows("select pg_backend_pid()")[0]
        seen = "select query from pg_stat_activity where pid = %s"
        time.sleep(0.1)
        assert connection.rows("select pg_backend_pid()")[0] == first
        postgres.ask("select pg_terminate_backend(%s)", int(first))
        assert connection.rows("select pg_backend_pid()")[0] != first
        assert seen


def test_bad_check_query_is_no_endless_loop(postgres, pooler):
    peer = pooler(settings={"server_check_delay": "0", "server_check_query": "select 1/0",
                            "query_wait_timeout": "2"})
    with wire.connect(peer) as connection:
        connection.send(query("select 1"))
        time.sleep(1)
    assert peer.read_log().count("new connection to server") < 50


def test_min_pool_size_with_a_forced_user_needs_no_client(postgres, pooler):
    peer = pooler(databases={"postgres": "user=tester min_pool_size=2"})
    process.until(lambda: peer.read_log().count("new connection to server") == 2, "two servers")


def test_connect_query(postgres, pooler):
    peer = pooler(databases={"postgres": "connect_query='set work_mem = ''7MB'''"})
    with wire.connect(peer) as connection:
        assert connection.rows("show work_mem") == ["7MB"]
        assert peer.read_log().count("new connection to server") == 1, "who waits needs one server"
        connection.ask("set work_mem = '9MB'")
        assert connection.rows("show work_mem") == ["7MB"], "cleaned, and as it was"


def test_connect_query_that_fails(postgres, pooler):
    """It is logged and ignored, as in PgBouncer."""
    peer = pooler(databases={"postgres": "connect_query='select no_such_function()'"})
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]
    process.until(lambda: "no_such_function" in peer.read_log(), "it is logged")
    assert peer.read_log().count("new connection to server") <= 3


def test_idle_servers_make_room_under_max_db_connections(postgres, pooler):
    peer = pooler(settings={"max_db_connections": "2", "workers": "2"})
    with wire.connect(peer) as first, wire.connect(peer, user="postgres") as second:
        for _ in range(5):
            for client in (first, second):
                started = time.monotonic()
                client.rows("select 1")
                assert time.monotonic() - started < 2


@pytest.mark.parametrize("workers", (1, 2))
def test_two_pools_under_one_limit_both_get_on(postgres, pooler, workers):
    """Neither of two busy pools is starved by the other."""
    peer = pooler(settings={"max_db_connections": "1", "workers": str(workers)})
    stop = threading.Event()
    done = {"tester": 0}

    def work(user):
        with wire.connect(peer, user=user) as connection:
            while not stop.is_set():
                connection.rows("select 1")
                done[user] += 1

    threads = [threading.Thread(target=work, args=(user,)) for user in ("tester",) * 3]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    try:
        with wire.connect(peer, user="postgres") as late:
            started = time.monotonic()
            assert late.rows("select 1") == ["1"]
            assert time.monotonic() - started < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_wait_timeout_of_a_database_and_a_user(pooler):
    peer = pooler(databases={"postgres": "query_wait_timeout=1 pool_size=1"},
                  sections="[users]\npostgres = query_wait_timeout=5 pool_size=1\n")
    with wire.connect(peer) as holder, wire.connect(peer) as waiting:
        holder.ask("begin")
        started = time.monotonic()
        waiting.send(query("select 1"))
        waiting.read_to_end()
        assert 0.8 < time.monotonic() - started < 3
