"""Upgrades that fail, each in its own way: the old process serves on with all its clients, and the
verdict says why."""

import os
import pathlib
import shutil
import subprocess
import threading

import psycopg
import pytest

import pooler as pooler_module
import process


def install(peer, content, mode=0o755):
    """Replaces the installed program, as a package manager does: the old file lives on."""
    new = peer.program + ".new"
    if isinstance(content, bytes):
        pathlib.Path(new).write_bytes(content)
    else:
        pathlib.Path(new).write_text(content, encoding="utf8")
    os.chmod(new, mode)
    os.rename(new, peer.program)


def ask(peer):
    """Asks by the program under test, since the installed one is broken."""
    return subprocess.run([f"/proc/{peer.process.pid}/exe", "upgrade", "--socket",
                           peer.settings["control_socket"]], capture_output=True, text=True,
                          timeout=60, check=False)


BROKEN = {
    "exits": ("#!/bin/sh\nexit 3\n", "exited with status 3"),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", "killed by signal 11"),
    "hangs": ("#!/bin/sh\nexec sleep 60\n", "no answer in time"),
    "no program": ("this is no program\n", "execute"),
    "no interpreter": ("#!/no/such/shell\n", "execute"),
    "talks nonsense": ("#!/bin/sh\nexec /usr/bin/python3 -c '\nimport socket, time\n"
                       "socket.socket(fileno=3).send(b\"hello\")\ntime.sleep(60)'\n",
                       "another language"),
    "other version": ("#!/bin/sh\nexec /usr/bin/python3 -c '\nimport socket, struct, time\n"
                      "number = lambda tag, n: struct.pack(\">HIQ\", tag, 8, n)\n"
                      "socket.socket(fileno=3).send(struct.pack(\">H\", 1) + number(2, 99) +"
                      " number(3, 98))\ntime.sleep(60)'\n",
                      "reads records of version 98 to 99"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_broken_program(upgradable, way):
    program, reason = BROKEN[way]
    peer = upgradable()
    with peer.connect(autocommit=False) as client, peer.connect() as idle:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        idle.execute("SELECT 1")
        install(peer, program)
        asked = ask(peer)
        assert asked.returncode == 1 and reason in asked.stderr, asked
        assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        client.commit()
        assert idle.execute("SELECT 1").fetchone() == (1,)
        with peer.connect() as late:
            assert late.execute("SELECT 1").fetchone() == (1,)
        row, = peer.show("UPGRADES")
        assert row["result"] == "failed" and reason in row["verdict"]


def fail_at(peer, step, how):
    """Installs the program that fails at `step`, and asks for the upgrade."""
    shutil.copy(os.environ["PG_DOORMAN_FAULTY"], peer.program + ".faulty")
    install(peer, "#!/bin/sh\n"
                  f"export PG_DOORMAN_FAULT='{step}:{how}'\nexec {peer.program}.faulty \"$@\"\n")
    return ask(peer)


REASONS = {"exit": "exited with status 7", "crash": "signal 11", "kill": "signal 9",
           "hang": "no answer in time"}


@pytest.mark.skipif("PG_DOORMAN_FAULTY" not in os.environ, reason="PG_DOORMAN_FAULTY is not set")
@pytest.mark.parametrize("step, how", [("hello", "exit"), ("hello", "hang"), ("rehearse", "crash"),
                                       ("carry", "kill"), ("carry", "hang"), ("built", "crash"),
                                       ("built", "hang"), ("carried", "exit")])
def test_fails_before_it_serves(upgradable, step, how):
    peer = upgradable()
    with peer.connect(autocommit=False) as client, peer.connect() as idle:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        idle.execute("SELECT 1")
        asked = fail_at(peer, step, how)
        assert asked.returncode == 1 and REASONS[how] in asked.stderr, asked
        assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        client.commit()
        assert idle.execute("SELECT 1").fetchone() == (1,)
        with peer.connect() as late:
            assert late.execute("SELECT 1").fetchone() == (1,)
        install(peer, pathlib.Path(pooler_module.binary()).read_bytes())
        peer.upgrade()  # the next one, with a program that is right, succeeds
        assert idle.execute("SELECT 1").fetchone() == (1,)


def test_bad_configuration(upgradable):
    peer = upgradable()
    with peer.connect() as client:
        peer.write_raw("[databases]\n[pgbouncer]\npool_mode = nonsense\n")
        asked = ask(peer)
        assert asked.returncode == 1 and "pool_mode" in asked.stderr, asked
        assert client.execute("SELECT 1").fetchone() == (1,)


def ended(client):
    """Without a word to it: between two of its transactions is when it is ended."""
    try:
        client.pgconn.consume_input()
        return client.pgconn.status == psycopg.pq.ConnStatus.BAD
    except psycopg.OperationalError:
        return True


def test_client_of_a_database_that_is_gone_stays(upgradable):
    peer = upgradable(databases={"postgres": "", "other": "dbname=postgres"})
    with peer.connect() as kept, peer.connect(dbname="other", autocommit=False) as left:
        kept.execute("SELECT 1")
        left.execute("SELECT 1")
        del peer.databases["other"]
        peer.write()
        before = peer.process
        assert "1 stay" in peer.upgrade()
        assert left.execute("SELECT 2").fetchone() == (2,)  # by the old process
        left.commit()
        process.until(lambda: ended(left), "it is ended between two transactions")
        assert before.wait(30) == 0
        assert kept.execute("SELECT 1").fetchone() == (1,)


def test_who_does_not_finish_is_ended_in_time(upgradable):
    """By shutdown_timeout, and the old process with it."""
    peer = upgradable(databases={"postgres": "", "other": "dbname=postgres"},
                      settings={"shutdown_timeout": "3"})
    with peer.connect() as kept, peer.connect(dbname="other", autocommit=False) as left:
        kept.execute("SELECT 1")
        left.execute("SELECT 1")
        del peer.databases["other"]
        peer.write()
        before = peer.process
        peer.upgrade()
        assert left.execute("SELECT 2").fetchone() == (2,)
        assert before.wait(30) == 0
        assert "shutdown_timeout is over" in peer.read_log()
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 3")
        assert kept.execute("SELECT 1").fetchone() == (1,)


def test_the_old_process_ends_when_it_has_nothing_left(upgradable):
    peer = upgradable(settings={"shutdown_timeout": "1000"})
    with peer.connect(autocommit=False) as client:
        client.execute("SELECT 1")
        before = peer.process
        peer.upgrade()
        assert before.wait(20) == 0
        assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif("PG_DOORMAN_FAULTY" not in os.environ, reason="PG_DOORMAN_FAULTY is not set")
@pytest.mark.parametrize("how", ("crash", "exit", "hang"))
def test_fails_in_probation(upgradable, postgres, how):
    """The old process takes back who is idle, with all that has become of it since; who is in a
    transaction is told; nothing goes on in PostgreSQL."""
    peer = upgradable(settings={"upgrade_probation": "3", "default_pool_size": "2"})
    clients = [peer.connect(prepare_threshold=0) for _ in range(5)]
    silent, idle, changed, busy, leaving = clients
    for client in clients:
        client.execute("SELECT 1")
    busy.autocommit = False
    # The third ping: some hundred milliseconds after it has begun to serve.
    shutil.copy(os.environ["PG_DOORMAN_FAULTY"], peer.program + ".faulty")
    install(peer, "#!/bin/sh\n"
                  f"export PG_DOORMAN_FAULT='ping 4:{how}'\nexec {peer.program}.faulty \"$@\"\n")
    asked = []
    asker = threading.Thread(target=lambda: asked.append(ask(peer)))
    asker.start()
    process.until(lambda: "serves 5 clients" in peer.read_log(), "the successor serves")
    assert idle.execute("SELECT 2").fetchone() == (2,)
    changed.execute("SET TimeZone TO 'Asia/Tokyo'")
    assert changed.execute("SELECT %s::int + 41", (1,)).fetchone() == (42,)
    busy.execute("CREATE TEMP TABLE mine (x int)")
    leaving.close()
    late = peer.connect()
    asker.join(60)
    assert asked[0].returncode == 1, asked
    process.until(lambda: "taken back" in peer.read_log(), "it is taken back")
    for client in (silent, idle, changed):
        assert client.execute("SELECT 3").fetchone() == (3,)
    assert changed.execute("SHOW TimeZone", prepare=False).fetchone() == ("Asia/Tokyo",)
    assert changed.execute("SELECT %s::int + 41", (2,)).fetchone() == (43,)
    with pytest.raises(psycopg.OperationalError):
        busy.execute("SELECT 4")
    late.close()
    with peer.connect() as new:
        assert new.execute("SELECT 5").fetchone() == (5,)
    process.until(lambda: postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE state LIKE "
                                       "'idle in transaction%'")[0][0] == 0, "it is rolled back")
    # Nobody has more servers than the pool may have, whichever process opened them.
    fresh = [peer.connect() for _ in range(6)]
    for client in (*fresh, silent, idle, changed):
        client.execute("SELECT 6")
    assert postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'tester'")[0][0] <= 2
