"""Settings that no other file is about: each does what the manual says of it."""

import re
import time

import pytest

import process
import wire
from wire import SYNC, bind, execute, parse, query


def codes(messages):
    return [wire.fields(body)["C"] for kind, body in messages if kind == "E"]


def refusal(peer, **login):
    with wire.Wire(peer.host, peer.port) as connection:
        kind, body = connection.login(**login)[-1]
        return wire.fields(body) if kind == "E" else None


def test_auth_type_reject(pooler):
    peer = pooler(settings={"auth_type": "reject"})
    for user in ("tester", "nobody_abc"):
        error = refusal(peer, user=user)
        assert (error["S"], error["C"]) == ("FATAL", "28000"), error


def test_auth_type_any(pooler):
    """Whoever comes is the user that the database forces, and the user list does not matter."""
    peer = pooler(settings={"auth_type": "any"}, databases={"postgres": "user=tester"})
    for user in ("nobody_abc", "postgres"):
        with wire.connect(peer, user=user) as connection:
            assert connection.rows("select current_user") == ["tester"]


def test_application_name_add_host(pooler):
    peer = pooler(settings={"application_name_add_host": "1"})
    for login, name in (({"application_name": "till"}, "till"), ({}, "app")):
        with wire.connect(peer, **login) as connection:
            port = connection.socket.getsockname()[1]
            assert connection.rows("show application_name") == [f"{name} - 127.0.0.1:{port}"]


def test_login_notify_message(pooler):
    peer = pooler(settings={"login_notify_message": "maintenance at noon"})
    for _ in range(2):  # the first one waits for a server, the second one does not
        with wire.Wire(peer.host, peer.port) as connection:
            notices = [wire.fields(body)["M"] for kind, body in connection.login() if kind == "N"]
            assert notices == ["maintenance at noon"]


def test_disable_pqexec(pooler):
    peer = pooler(settings={"disable_pqexec": "1"})
    with wire.connect(peer) as connection:
        connection.send(parse("select 7") + bind() + execute() + SYNC)
        assert [kind for kind, _ in connection.read_until("Z")] == list("12DCZ")
        connection.send(query("select 1"))
        assert codes(connection.read_to_end()) != []


def test_max_packet_size(pooler):
    peer = pooler(settings={"max_packet_size": "10000"})
    with wire.connect(peer) as connection, wire.connect(peer) as other:
        assert connection.rows(f"select length('{'x' * 9000}')") == ["9000"]
        connection.send(query(f"select length('{'x' * 10000}')"))
        assert codes(connection.read_to_end()) == ["54000"]
        assert other.rows("select 1") == ["1"]


def test_server_fast_close(pooler):
    """In session mode, a server that is to be replaced goes at the end of the transaction."""
    for fast in ("0", "1"):
        peer = pooler(settings={"pool_mode": "session", "server_fast_close": fast})
        with wire.connect(peer) as idle, wire.connect(peer) as busy:
            for client in (idle, busy):
                client.ask("begin")
            with peer.console() as console:
                console.execute("RECONNECT")
            assert busy.rows("select 1") == ["1"]
            busy.send(query("commit"))
            if fast == "1":
                assert codes(busy.read_to_end()) == ["57P01"]
            else:
                assert busy.read_until("Z")[-1] == ("Z", b"I")
                assert busy.rows("select 2") == ["2"]


def test_track_extra_parameters(pooler):
    """PostgreSQL reports this one since its release 14."""
    name = "default_transaction_read_only"
    for extra, kept in (("IntervalStyle", "off"), (f"IntervalStyle, {name}", "on")):
        peer = pooler(settings={"default_pool_size": "1", "track_extra_parameters": extra})
        with wire.connect(peer) as first, wire.connect(peer) as second:
            first.ask(f"set {name} = on")
            for _ in range(3):
                assert second.rows(f"show {name}") == ["off"]
                assert first.rows(f"show {name}") == [kept]


def test_server_reset_query_always(postgres, pooler):
    """What no tag shows is left to it: a setting by a function, a lock, a temporary table."""
    peer = pooler(settings={"default_pool_size": "1", "server_reset_query_always": "1"})
    with wire.connect(peer) as first, wire.connect(peer) as second:
        for _ in range(3):
            first.rows("select set_config('work_mem', '7MB', false), pg_advisory_lock(77)")
            first.ask("create temp table left_here (n int)")
            assert second.rows("show work_mem") == ["4MB"]
            assert second.rows("select to_regclass('left_here') is null") == ["t"]
            assert postgres.ask("select count(*) from pg_locks where locktype = 'advisory'")[0][0] == 0


def test_server_reset_query(pooler):
    """It runs when a session gives its server back, and only then."""
    peer = pooler(databases={"session": "pool_mode=session pool_size=1",
                             "postgres": "pool_mode=transaction pool_size=1"},
                  settings={"server_reset_query": "set work_mem to '9MB'"})
    for database, expected in (("session", "9MB"), ("postgres", "4MB")):
        with wire.connect(peer, database=database) as connection:
            assert connection.rows("select 1") == ["1"]
        peer.wait_for_rest(database)
        with wire.connect(peer, database=database) as connection:
            assert connection.rows("show work_mem") == [expected]


def test_query_wait_notify(pooler):
    peer = pooler(settings={"default_pool_size": "1", "query_wait_notify": "1"})
    with wire.connect(peer) as holder, wire.connect(peer) as waiting:
        holder.ask("begin")
        waiting.send(query("select 1"))
        kind, body = waiting.read()
        assert kind == "N" and wire.fields(body)["S"] == "NOTICE"
        holder.ask("commit")
        assert [kind for kind, _ in waiting.read_until("Z")] == list("TDCZ")


def test_nothing_is_logged_of_connections_when_switched_off(pooler):
    peer = pooler(settings={"log_connections": "0", "log_disconnections": "0",
                            "log_pooler_errors": "0", "server_login_retry": "1"})
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]
        pid = int(connection.rows("select pg_backend_pid()")[0])
    assert refusal(peer, database="nowhere")
    peer.signal(1)
    process.until(lambda: "in force" in peer.read_log(), "the log has come so far")
    text = peer.read_log()
    assert pid and "tester" not in text and "nowhere" not in text, text


def timers(port):
    """The timers that the kernel runs for connections with this port: {(local, peer): seconds}."""
    found = {}
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            ends = tuple(int(word.split(":")[1], 16) for word in words[1:3])
            kind, left = words[5].split(":")
            if port in ends and words[3] == "01" and kind == "02":  # established, keepalive
                found[ends] = int(left, 16) / 100
    return found


@pytest.mark.parametrize("on", (True, False))
def test_tcp_keepalive(postgres, pooler, on):
    """Both sides: the kernel probes quiet connections, after the time that is set."""
    peer = pooler(settings={"tcp_keepalive": "1" if on else "0", "tcp_keepidle": "500"})
    with wire.connect(peer) as connection:
        server = int(connection.rows("select inet_client_port()")[0])
        client = connection.socket.getsockname()[1]
        ends = ((peer.port, client), (server, postgres.port))

        def of_pooler():  # once all that was sent is acknowledged, which has a timer of its own
            running = {**timers(peer.port), **timers(server)}
            return [running[end] for end in ends if end in running]

        if on:
            process.until(lambda: len(of_pooler()) == 2, "both have a timer")
            assert all(400 < left <= 500 for left in of_pooler()), of_pooler()
        else:
            for _ in range(10):
                assert of_pooler() == []
                time.sleep(0.05)


@pytest.mark.parametrize("on", (True, False))
def test_tcp_keepalive_is_reloaded(pooler, on):
    """Who connects after that is probed, or not any more; so are those who came in between."""
    settings = {"tcp_keepalive": "0" if on else "1", "tcp_keepidle": "500"}
    peer = pooler(settings=settings)
    with wire.connect(peer) as before:  # whose socket has its options from the listening one
        before.rows("select 1")
        peer.settings["tcp_keepalive"] = "1" if on else "0"
        peer.write()
        peer.signal(1)
        process.until(lambda: next(row["value"] for row in peer.show("CONFIG")
                                   if row["key"] == "tcp_keepalive") == peer.settings["tcp_keepalive"],
                      "it is in force", patience=20)
        with wire.connect(peer) as after:
            ends = [(peer.port, each.socket.getsockname()[1]) for each in (before, after)]
            process.until(lambda: [end in timers(peer.port) for end in ends] == [not on, on],
                          "one has a timer", patience=20)


def test_log_stats(pooler):
    peer = pooler(settings={"stats_period": "1"})
    with wire.connect(peer) as connection:
        connection.rows("select 1")
        process.until(lambda: re.search(r"stats: \d+ xacts/s, \d+ queries/s", peer.read_log()),
                      "a line of averages")


def test_conffile(pooler):
    """The next reload reads another file."""
    peer = pooler()
    other = peer.ini + ".2"
    peer.settings["default_pool_size"] = "9"
    peer.write()
    with open(peer.ini, encoding="utf8") as one, open(other, "w", encoding="utf8") as two:
        two.write(one.read())
    peer.settings["default_pool_size"] = "3"
    peer.settings["conffile"] = other
    for number in ("3", "9"):
        peer.write()
        peer.signal(1)
        process.until(lambda n=number: next(row["value"] for row in peer.show("CONFIG")
                                            if row["key"] == "default_pool_size") == n,
                      f"{number} is in force", patience=20)

