"""The console answers with PgBouncer's columns, and its commands do what they say."""

import threading
import time

import psycopg
import pytest

import process
import wire

SOCKET = ("type user database replication state addr port local_addr local_port connect_time "
          "request_time wait wait_us close_needed ptr link remote_pid tls application_name "
          "prepared_statements id").split()
STATS = ("server_assignment_count xact_count query_count received sent xact_time query_time "
         "wait_time client_parse_count server_parse_count bind_count client_login_count").split()
AVERAGES = [{"received": "recv"}.get(name, name) for name in STATS]

COLUMNS = {
    "VERSION": ["version"],
    "POOLS": ("database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req "
              "sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login "
              "maxwait maxwait_us pool_mode load_balance_hosts").split(),
    "CLIENTS": SOCKET,
    "SERVERS": SOCKET,
    "LISTS": ["list", "items"],
    "DATABASES": ("name host port database force_user pool_size min_pool_size reserve_pool_size "
                  "server_lifetime pool_mode load_balance_hosts max_connections "
                  "current_connections max_client_connections current_client_connections paused "
                  "disabled").split(),
    "CONFIG": ["key", "value", "default", "changeable"],
    "STATEMENTS": "database user texts bytes hits misses evictions parses_saved".split(),
    "STATS": ["database"] + [f"total_{name}" for name in STATS] +
             [f"avg_{name}" for name in AVERAGES],
}
LISTS = ("databases users peers pools peer_pools free_clients used_clients login_clients "
         "free_servers used_servers dns_names dns_zones dns_queries dns_pending").split()


def in_order(columns, wanted):
    """`wanted` are all there and in this order; newer columns may stand after them."""
    return list(columns)[:len(wanted)] == wanted


@pytest.fixture(scope="module")
def peer(shared_pooler):
    return shared_pooler(settings={"stats_users": "watcher"},
                         users={"tester": "", "admin": "", "watcher": ""},
                         databases={"postgres": "", "other": "pool_mode=session"})


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_are_those_of_pgbouncer(peer, what):
    with peer.connect() as connection, peer.console() as console:
        connection.execute("select 1")
        cursor = console.execute(f"SHOW {what}")
        assert in_order([column.name for column in cursor.description], COLUMNS[what])
        assert cursor.fetchall()


def test_lists_has_every_line(peer):
    lines = {row["list"]: row["items"] for row in peer.show("LISTS")}
    assert set(LISTS) <= set(lines)


@pytest.mark.parametrize("text", ("SHOW POOLS", "show pools;", "  Show  Pools ; "))
def test_words_in_any_case_with_or_without_semicolon(peer, text):
    with peer.console() as console:
        assert console.execute(text).fetchall()


@pytest.mark.parametrize("text", ("SHOW NOTHING", "BOGUS", "PAUSE no_such_database", "SHOW"))
def test_bad_commands_get_an_error_and_the_console_lives_on(peer, text):
    with peer.console() as console:
        with pytest.raises(psycopg.Error):
            console.execute(text)
        assert console.execute("SHOW VERSION").fetchall()


def test_extended_protocol_is_refused_with_words(peer):
    with wire.connect(peer, user="admin", database="pgbouncer") as console:
        console.send(wire.parse("SHOW VERSION") + wire.bind() + wire.execute() + wire.SYNC)
        assert console.read()[0] == "E"


def test_only_those_who_may(peer):
    with psycopg.connect(host=peer.host, port=peer.port, user="watcher", dbname="pgbouncer",
                         autocommit=True, cursor_factory=psycopg.ClientCursor) as console:
        assert console.execute("SHOW STATS").fetchall()
        with pytest.raises(psycopg.Error):
            console.execute("RELOAD")
    with pytest.raises(psycopg.OperationalError):
        peer.connect("tester", dbname="pgbouncer")


def test_clients_and_servers_say_who_they_are(peer):
    with peer.connect(application_name="my-app") as connection:
        connection.execute("begin")
        pid = connection.execute("select pg_backend_pid()").fetchone()[0]
        clients = [row for row in peer.show("CLIENTS") if row["user"] == "tester"]
        assert [(row["type"], row["state"], row["database"], row["application_name"])
                for row in clients] == [("C", "active", "postgres", "my-app")]
        busy = [row for row in peer.show("SERVERS") if row["state"] == "active"]
        assert [int(row["remote_pid"]) for row in busy] == [pid]
        connection.execute("commit")


def test_statistics_count(peer):
    def totals():
        return next(row for row in peer.show("STATS") if row["database"] == "postgres")

    before = totals()
    with peer.connect() as connection:
        for _ in range(10):
            connection.execute("begin")
            connection.execute("select 1")
            connection.execute("commit")
    after = totals()
    grown = {name: int(after[f"total_{name}"]) - int(before[f"total_{name}"]) for name in STATS}
    assert grown["xact_count"] == 10
    assert grown["query_count"] == 30
    assert grown["client_login_count"] == 1
    assert grown["received"] > 100 and grown["sent"] > 100


def test_pause_waits_for_transactions_and_resume_goes_on(pooler):
    peer = pooler()
    with wire.connect(peer) as busy, wire.connect(peer) as other, peer.console() as console:
        busy.ask("begin")
        paused = threading.Thread(target=console.execute, args=("PAUSE",))
        paused.start()
        time.sleep(0.3)
        assert paused.is_alive(), "a transaction is open"
        other.send(wire.query("select 1"))
        assert busy.ask("commit")[-1] == ("Z", b"I")
        paused.join(5)
        assert not paused.is_alive()
        assert all(int(row["sv_active"]) == 0 for row in peer.show("POOLS"))
        console.execute("RESUME")
        assert [kind for kind, _ in other.read_until("Z")] == list("TDCZ")


def test_pause_of_one_database(pooler):
    peer = pooler(databases={"postgres": "", "other": ""})
    with wire.connect(peer) as first, wire.connect(peer, database="other") as second:
        with peer.console() as console:
            console.execute("PAUSE other")
            assert first.rows("select 1") == ["1"]
            second.send(wire.query("select 2"))
            states = {row["name"]: int(row["paused"]) for row in peer.show("DATABASES")}
            assert (states["other"], states["postgres"]) == (1, 0)
            console.execute("RESUME other")
        assert [kind for kind, _ in second.read_until("Z")] == list("TDCZ")


def test_shutdown(pooler):
    peer = pooler()
    with peer.connect() as connection:
        connection.execute("select 1")
        with peer.console() as console:
            try:
                console.execute("SHUTDOWN")
            except psycopg.OperationalError:
                pass  # the console ends with the pooler
        process.until(lambda: peer.process.poll() is not None, "the pooler ends")
    peer.stop(expected=range(128))  # a status of its own tells systemd not to start it again
