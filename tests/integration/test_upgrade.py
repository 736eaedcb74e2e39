"""Live upgrades: every kind of session crosses to the next process, and nobody notices."""

import os
import re
import signal
import subprocess
import threading
import time

import psycopg
import pytest

import cluster
import process
import wire


def backend_pids(cluster):
    with cluster.connect() as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = "
                                  "'client backend' AND pid <> pg_backend_pid()").fetchall()
    return sorted(row[0] for row in rows)


def test_idle_clients(upgradable, postgres):
    """They stay, however long they are silent; what the old process cannot end is nothing to them."""
    shutdown_timeout = 0.3
    peer = upgradable(settings={"shutdown_timeout": str(shutdown_timeout)})
    before_it = peer.process
    clients = [peer.connect() for _ in range(20)]
    for client in clients:
        client.execute("SELECT 1")
    before = backend_pids(postgres)
    ids = {row["id"] for row in peer.show("CLIENTS") + peer.show("SERVERS")}
    peer.upgrade()
    assert before_it.wait(30) == 0
    time.sleep(10 * shutdown_timeout)  # they are silent
    for number, client in enumerate(clients):
        assert client.execute("SELECT %s::int", (number,)).fetchone() == (number,)
    assert backend_pids(postgres) == before
    with peer.connect() as late, peer.connect(autocommit=False) as busy:
        assert late.execute("SELECT 2").fetchone() == (2,)
        busy.execute("SELECT 3")
        after = [row["id"] for row in peer.show("CLIENTS") + peer.show("SERVERS")]
        assert len(after) == len(set(after)), "two connections have one number"
        assert len(set(after) - ids) >= 2  # of these two


def test_in_transaction(upgradable):
    peer = upgradable()
    with peer.connect(autocommit=False) as client:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        client.execute("INSERT INTO mine VALUES (7)")
        pid = client.execute("SELECT pg_backend_pid()").fetchone()
        peer.upgrade()
        assert client.execute("SELECT x, pg_backend_pid() FROM mine").fetchone() == (7, *pid)
        client.commit()


def test_session_mode_keeps_its_server(upgradable):
    peer = upgradable(settings={"pool_mode": "session"})
    with peer.connect() as client:
        client.execute("CREATE TEMP TABLE mine (x int)")
        peer.upgrade()
        assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_copy_goes_on(upgradable):
    peer = upgradable()
    with peer.connect(autocommit=False) as client:
        client.execute("CREATE TEMP TABLE copied (x int) ON COMMIT DROP")
        with client.cursor().copy("COPY copied FROM STDIN") as copy:
            for number in range(1000):
                if number == 500:
                    peer.upgrade()
                copy.write_row((number,))
        assert client.execute("SELECT count(*), sum(x) FROM copied").fetchone() == (1000, 499500)


def test_half_a_message(upgradable):
    peer = upgradable()
    with wire.connect(peer) as client:
        message = wire.query("select 'whole'")
        client.send(message[:9])
        peer.upgrade()
        client.send(message[9:])
        assert client.read_until()[1][1][6:] == b"whole"


def test_pipeline_in_flight(upgradable):
    peer = upgradable()
    with wire.connect(peer) as client:
        batch = b"".join(wire.parse(f"select {n}, pg_sleep({0.6 if n == 1 else 0})") + wire.bind() +
                         wire.execute() + wire.frame("S") for n in range(5))
        client.send(batch)
        peer.upgrade()
        for number in range(5):
            answers = [kind for kind, _ in client.read_until()]
            assert answers == ["1", "2", "D", "C", "Z"], number


def test_unnamed_statement_and_half_a_portal(upgradable):
    """What a driver has parsed before it may bind afterwards, with a name or without."""
    peer = upgradable()
    with wire.connect(peer) as client, wire.connect(peer) as other:
        client.send(wire.parse("select 'mine' || $1") + wire.parse("select 7", "a") + wire.SYNC)
        client.read_until()
        other.send(wire.parse("select generate_series(1, 4)") + wire.bind(portal="p") +
                   wire.execute("p", 2) + wire.FLUSH)
        other.read_until("s")
        peer.upgrade()
        client.send(wire.bind(["1"]) + wire.execute() + wire.bind(statement="a") + wire.execute() +
                    wire.SYNC)
        rows = [body[6:] for kind, body in client.read_until() if kind == "D"]
        assert rows == [b"mine1", b"7"]
        other.send(wire.execute("p") + wire.bind() + wire.execute("", 1) + wire.SYNC)
        rows = [body[6:] for kind, body in other.read_until() if kind == "D"]
        assert rows == [b"3", b"4", b"1"]


def test_answer_that_nobody_reads_yet(upgradable):
    peer = upgradable()
    with wire.connect(peer) as client:
        client.send(wire.query("select repeat('x', 1000) from generate_series(1, 20000)"))
        process.until(lambda: int(peer.pool()["sv_active"]) > 0, "it is being answered")
        peer.upgrade()
        rows = [body for kind, body in client.read_until() if kind == "D"]
        assert len(rows) == 20000 and set(map(len, rows)) == {1006}


def test_queue_keeps_its_order(upgradable):
    peer = upgradable(settings={"default_pool_size": "1", "workers": "1"})
    clients = [wire.connect(peer) for _ in range(6)]
    holder = clients.pop()
    holder.ask("begin")
    for number, client in enumerate(clients):
        client.send(wire.query("select to_char(clock_timestamp(), 'SSSSSUS')"))
        process.until(lambda n=number: int(peer.pool()["cl_waiting"]) == n + 1, "it waits")
        if number == 0:
            since = time.monotonic()

    def waits():
        pool = peer.pool()
        return int(pool["maxwait"]) + int(pool["maxwait_us"]) / 1e6

    process.until(lambda: waits() > 0.5, "it has waited for a while")
    peer.upgrade()
    assert int(peer.pool()["cl_waiting"]) == 5
    waited = time.monotonic() - since  # by one who waits that long at least
    assert waits() > waited - 0.2, "they wait from the beginning again"
    holder.ask("commit")
    times = [client.read_until()[1][1] for client in clients]
    assert times == sorted(times)
    for client in (holder, *clients):
        client.close()


def test_cancel_crosses(upgradable):
    peer = upgradable()
    with peer.connect() as client:
        failed = []

        def sleep():
            try:
                client.execute("SELECT pg_sleep(60)")
            except psycopg.errors.QueryCanceled as error:
                failed.append(error)

        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        process.until(lambda: int(peer.pool()["sv_active"]) == 1, "it sleeps")
        peer.upgrade()
        assert sleeper.is_alive()
        client.cancel()
        sleeper.join(30)
        assert failed
        assert client.execute("SELECT 1").fetchone() == (1,)


def test_cancels_at_any_moment_of_an_upgrade(upgradable, postgres):
    """Before it, in each of its steps, to the old process or the new one, and after it."""
    count = 12
    peer = upgradable(settings={"default_pool_size": str(count), "upgrade_probation": "1"})
    clients = [wire.connect(peer, 60) for _ in range(count)]
    for client in clients:
        client.send(wire.query("select pg_sleep(100)"))
    process.until(lambda: int(peer.pool()["sv_active"]) == count, "all sleep")
    before = peer.process
    with subprocess.Popen([peer.program, "upgrade", peer.ini]) as upgrade:
        left = list(clients)
        while left:
            if len(left) > 2 or upgrade.poll() is not None:
                wire.cancel(peer, left.pop().key)
            time.sleep(0.05)  # to be spread over it; what is right does not depend on it
        assert upgrade.wait(60) == 0
    peer.follow(before)
    for client in clients:
        answer = client.read_until()
        assert [wire.fields(body)["C"] for kind, body in answer if kind == "E"] == ["57014"]
        assert client.rows("select 1") == ["1"]
        client.close()


def test_limits_hold(upgradable, postgres):
    """What has crossed counts, for servers and for clients."""
    peer = upgradable(settings={"default_pool_size": "5", "max_db_connections": "2",
                                "max_client_conn": "5"})
    with peer.connect(autocommit=False) as one, peer.connect(autocommit=False) as two, \
            wire.connect(peer) as third:
        one.execute("SELECT 1")
        two.execute("SELECT 1")
        peer.upgrade()
        third.send(wire.query("select 3"))
        process.until(lambda: int(peer.pool()["cl_waiting"]) == 1, "the third one waits")
        assert len(backend_pids(postgres)) == 2
        with wire.connect(peer) as fourth, wire.connect(peer):
            with wire.Wire(peer.host, peer.port) as sixth:
                answer = sixth.login()
                assert [wire.fields(body)["C"] for kind, body in answer if kind == "E"] == ["53300"]
            assert fourth.socket.fileno() >= 0
        one.commit()
        assert [body[6:] for kind, body in third.read_until() if kind == "D"] == [b"3"]
        two.commit()


def test_prepared_statements_and_parameters(upgradable):
    peer = upgradable(settings={"default_pool_size": "1"})
    with peer.connect(prepare_threshold=0, application_name="mine",
                      options="-c DateStyle=German") as client:
        client.execute("SET TimeZone TO 'Asia/Tokyo'")
        assert client.execute("SELECT %s::int + 1", (1,)).fetchone() == (2,)
        before = peer.show("STATS")
        peer.upgrade()
        assert client.execute("SELECT %s::int + 1", (2,)).fetchone() == (3,)
        shown = client.execute("SELECT current_setting('TimeZone'), current_setting('DateStyle'), "
                               "current_setting('application_name')", prepare=False).fetchone()
        assert shown == ("Asia/Tokyo", "German, DMY", "mine")
        after = peer.show("STATS")

    def parses(rows):
        return sum(int(row["total_server_parse_count"]) for row in rows
                   if row["database"] == "postgres")

    assert parses(after) == parses(before), "the server has the statement still"


def test_state_of_the_console_crosses(upgradable):
    peer = upgradable(databases={"postgres": "", "other": ""})
    with peer.connect() as client, peer.console() as console:
        client.execute("SELECT 1")
        for command in ("PAUSE postgres", "DISABLE other", "SET query_wait_notify = 77",
                        "SET verbose = 1"):
            console.execute(command)
        peer.upgrade()
        rows = {row[0]: row for row in console.execute("SHOW DATABASES").fetchall()}
        names = [column.name for column in console.execute("SHOW DATABASES").description]
        assert rows["postgres"][names.index("paused")] == 1
        assert rows["other"][names.index("disabled")] == 1
        shown = {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}
        assert shown["query_wait_notify"] == "77" and shown["verbose"] == "1"
        stats = {row["database"]: row for row in peer.show("STATS_TOTALS")}
        assert int(stats["postgres"]["query_count"]) >= 1
        assert int(stats["pgbouncer"]["query_count"]) >= 5
        said = len(peer.read_log())
        console.execute("RESUME postgres")
        assert client.execute("SELECT 2").fetchone() == (2,)
        process.until(lambda: " DEBUG " in peer.read_log()[said:], "it logs as much as before")
        row, = peer.show("UPGRADES")
        assert row["result"] == "done" and int(row["clients"]) == 2


def test_by_console(upgradable):
    peer = upgradable()
    before = peer.process
    with peer.console() as console:
        notices = []
        console.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        console.execute("UPGRADE")
        assert "serves as process" in notices[0]
        peer.follow(before)
        row, = console.execute("SHOW UPGRADES").fetchall()  # by the successor: it followed
        assert row[1] == "done"
    assert before.wait(20) == 0


def test_login_in_the_middle_follows(upgradable):
    """Longer in its login than an upgrade waits: it ends it with the old process, then follows."""
    peer = upgradable(settings={"auth_type": "md5"}, users={"tester": "geheim", "admin": "chef"})
    before = peer.process
    with wire.Wire(peer.host, peer.port) as client, wire.Wire(peer.host, peer.port) as console:
        for each, user, database in ((client, "tester", "postgres"), (console, "admin", "pgbouncer")):
            each.send(wire.startup(user=user, database=database))
            kind, body = each.read()
            assert kind == "R"
            each.salt = body[4:]
        done = subprocess.run([peer.program, "upgrade", peer.ini], capture_output=True, text=True,
                              timeout=60, check=True)
        assert "2 stay" in done.stdout
        peer.follow(before)
        for each, user, secret in ((client, "tester", "geheim"), (console, "admin", "chef")):
            each.send(wire.frame("p", wire.text(wire.md5_answer(user, secret, each.salt))))
            assert each.read_until()[-1][0] == "Z"
        assert client.rows("select 1") == ["1"]
        assert console.ask("show version")
        assert before.wait(20) == 0


def test_client_that_has_not_said_anything(upgradable):
    peer = upgradable()
    with wire.Wire(peer.host, peer.port) as silent, wire.Wire(peer.host, peer.port) as half:
        packet = wire.startup(user="tester", database="postgres")
        half.send(packet[:11])
        process.until(lambda: int({row["list"]: row["items"] for row in peer.show("LISTS")}
                                  ["login_clients"]) > 0, "one is being listened to")
        peer.upgrade()
        half.send(packet[11:])
        silent.send(packet)
        for client in (half, silent):
            client.read_until()
            assert client.rows("select 1") == ["1"]


def test_by_signal(upgradable):
    peer = upgradable()
    with peer.connect() as client:
        before = peer.process
        peer.signal(signal.SIGUSR2)
        peer.follow(before)
        assert client.execute("SELECT 1").fetchone() == (1,)
        process.until(lambda: "upgrade done" in peer.read_log(), "the verdict is in the log")
        assert before.wait(20) == 0


def test_a_second_request_is_refused(upgradable):
    peer = upgradable(settings={"upgrade_probation": "2"})
    before = peer.process
    first = subprocess.Popen([peer.program, "upgrade", peer.ini], stdout=subprocess.PIPE, text=True)
    process.until(lambda: "upgrade: starting" in peer.read_log(), "the first one is under way")
    assert "an upgrade is under way" in peer.upgrade(expected=1)
    assert first.wait(60) == 0 and "serves as process" in first.stdout.read()
    first.stdout.close()
    peer.follow(before)


def test_more_workers(upgradable):
    peer = upgradable(settings={"workers": "1"})
    clients = [peer.connect() for _ in range(8)]
    for workers in ("3", "2"):
        peer.settings["workers"] = workers
        peer.write()
        peer.upgrade()
        for client in clients:
            assert client.execute("SELECT 1").fetchone() == (1,)


def test_end_in_probation_ends_both(upgradable):
    peer = upgradable(settings={"upgrade_probation": "30"})
    with peer.connect() as client:
        client.execute("SELECT 1")
        peer.signal(signal.SIGUSR2)
        process.until(lambda: "were taken over" in peer.read_log(), "the successor serves")
        assert client.execute("SELECT 1").fetchone() == (1,)
        peer.signal(signal.SIGTERM)
        peer.process.wait(30)
        process.until(lambda: peer.read_log().count("process ends") == 2, "both end", patience=30)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_five_in_a_row_leave_nothing_behind(upgradable, postgres):
    peer = upgradable()
    clients = [peer.connect() for _ in range(10)]
    for client in clients:
        client.execute("SELECT 1")
    before = backend_pids(postgres)

    def files():
        return len(os.listdir(f"/proc/{peer.process.pid}/fd"))

    peer.upgrade()
    at_first = files()
    for _ in range(4):
        peer.upgrade()
        process.until(lambda: files() <= at_first, "no descriptor is left over")
        for client in clients:
            client.execute("SELECT 1")
    assert backend_pids(postgres) == before
    assert len(peer.show("UPGRADES")) == 5


@pytest.mark.parametrize("protocol", ("simple", "extended", "prepared"))
def test_under_load(upgradable, postgres, tmp_path, protocol):
    # While pgbench waits for the reply to a Parse it looks at none of its thread's other clients.
    size = 12 if protocol == "prepared" else 4
    peer = upgradable(settings={"default_pool_size": str(size)})
    with postgres.connect() as setup:
        setup.execute("CREATE TABLE IF NOT EXISTS load (id int PRIMARY KEY, x int)")
        setup.execute("INSERT INTO load SELECT g, 0 FROM generate_series(0, 99) g "
                      "ON CONFLICT (id) DO UPDATE SET x = 0")
    script = tmp_path / "script.sql"
    script.write_text("\\set id random(0, 99)\nBEGIN;\nUPDATE load SET x = x + 1 WHERE id = :id;\n"
                      "SELECT x FROM load WHERE id = :id;\nEND;\nSELECT 1;\n", encoding="utf8")
    bench = subprocess.Popen([os.path.join(cluster.bin_folder(), "pgbench"), "-n", "-h", peer.host,
                              "-p", str(peer.port), "-U", "tester", "-c", "12", "-j", "2",
                              "-M", protocol, "-T", "5", "-f", str(script), "postgres"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # By its own count: PostgreSQL may still have sessions of a pooler before this one.
    process.until(lambda: sum(row["state"] in ("active", "idle") for row in peer.show("SERVERS"))
                  >= size, "the pool is full")
    before = backend_pids(postgres)
    upgrades = 0
    while bench.poll() is None and upgrades < 3:
        peer.upgrade()
        upgrades += 1
    said = bench.communicate(timeout=60)[0]
    assert bench.returncode == 0 and "number of failed transactions: 0 " in said, said
    done = int(re.search(r"actually processed: (\d+)", said).group(1))
    assert postgres.ask("SELECT sum(x) FROM load")[0][0] == done
    assert upgrades >= 2
    assert set(backend_pids(postgres)) <= set(before), "PostgreSQL saw no new session"


def test_clients_that_listen(upgradable, postgres):
    """In transaction mode: the next process listens anew, and says that there was a gap."""
    peer = upgradable()
    with wire.connect(peer, 30) as one, wire.connect(peer, 30) as two:
        one.ask("listen a; listen b")
        one.ask("unlisten b")
        two.ask("begin; listen c")
        peer.upgrade()
        kind, body = one.read()
        assert kind == "N" and "may have been lost" in wire.fields(body)["M"]
        assert [kind for kind, _ in two.ask("commit")] == ["C", "Z"]
        postgres.ask("select pg_notify('b', ''), pg_notify('a', '1'), pg_notify('c', '2')")
        for client, expected in (one, b"a\0001\0"), (two, b"c\0002\0"):
            kind, body = client.read()
            assert kind == "A" and body[4:] == expected
