"""`systemctl reload`: all clients go over to the installed program, or nothing happens."""

import os
import pathlib
import signal
import subprocess

import pytest

import process
from load import IdleClients, Load
from service import CONFIG, UNIT, cpu_of_pid1, systemctl


def reload(service):
    pid = service.pid()
    systemctl("reload", UNIT)
    assert service.pid() != pid
    assert service.state() == "active/running"


def children(pid):
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="utf8").split()]


@pytest.fixture
def quick(service):
    service.configure(upgrade_probation="500ms")
    return service.start()


def test_upgrades_under_load_are_not_noticed(quick):
    before = {row[0] for row in quick.cluster.ask("select pid from pg_stat_activity")}
    with IdleClients(quick) as idle:
        with Load(quick) as load:
            load.until_all_have_worked()
            before = {row[0] for row in quick.cluster.ask(
                "select pid from pg_stat_activity where usename = 'tester'")}
            for _ in range(4):
                reload(quick)
                load.until_all_have_worked()
        load.check_nobody_noticed()
        idle.check()
    print(f"longest pause of a busy client: {load.longest() * 1000:.0f} ms")
    assert before  # sessions of PostgreSQL were there, and crossed


def test_a_client_in_a_transaction_keeps_its_server(quick):
    with quick.connect() as connection:
        connection.autocommit = False
        before = connection.execute("select pg_backend_pid(), txid_current()").fetchone()
        reload(quick)
        assert connection.execute("select pg_backend_pid(), txid_current()").fetchone() == before
        connection.commit()


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nkill -SEGV $$\n",
                                     "#!/bin/sh\nexec sleep 1000\n", "not a program\n", None])
def test_a_broken_program_changes_nothing(quick, program):
    pid = quick.pid()
    with IdleClients(quick, count=5) as idle, quick.connect() as busy:
        busy.autocommit = False
        busy.execute("select 1")
        if program is None:
            quick.program.unlink()
            # ExecReload= is that program too: the request comes by a signal.
            quick.mark()
            os.kill(pid, signal.SIGUSR2)
            quick.until_journal("upgrade.*failed")
        elif program.startswith("#!"):
            asks = quick.program.with_name("asks")
            quick.drop_in("reload", f"[Service]\nExecReload=\nExecReload={asks} upgrade {CONFIG}\n")
            asks.write_bytes(quick.original.read_bytes())
            asks.chmod(0o755)
            quick.install_script(program)
            assert systemctl("reload", UNIT, check=False).returncode != 0
        else:
            quick.install_script(program)
            assert systemctl("reload", UNIT, check=False).returncode != 0
        quick.until_running()
        assert quick.pid() == pid
        if program != "not a program\n":  # in whose name nobody could be asked
            process.until(lambda: "the last upgrade failed: " in quick.show("StatusText"),
                          "the status says so", 30)
        idle.check()
        assert busy.execute("select 2").fetchone() == (2,)
        busy.commit()
    quick.install(quick.original)
    reload(quick)


def test_a_signal_upgrades_too(quick):
    with IdleClients(quick, count=5) as idle:
        pid = quick.pid()
        systemctl("kill", "-s", "USR2", "--kill-who=main", UNIT)
        process.until(lambda: quick.pid() not in (0, pid), "another process is main", 30, 0.05)
        quick.until_running()
        idle.check()


def test_a_signal_to_all_processes_in_the_middle_of_it_is_no_harm(service):
    """`kill -USR2 $(pgrep pg_doorman)` reaches the successor and the program that asks, too."""
    service.configure(upgrade_probation="2s")
    service.start()
    with IdleClients(service, count=5) as idle:
        pid = service.pid()
        with subprocess.Popen(["systemctl", "reload", UNIT]) as reloading:
            process.until(lambda: children(pid), "a successor is there", 30)
            systemctl("kill", "-s", "USR2", UNIT)
            systemctl("kill", "-s", "HUP", UNIT)
            assert reloading.wait(60) == 0
        service.until_running()
        idle.check()


def test_the_second_of_two_requests_is_answered(service):
    service.configure(upgrade_probation="2s")
    service.start()
    with IdleClients(service, count=5) as idle:
        pid = service.pid()
        first = subprocess.Popen(["systemctl", "reload", UNIT])
        process.until(lambda: children(pid), "a successor is there", 30)
        asked = subprocess.run(["systemd-run", "--pipe", "--wait", "-q", "-p", "User=pg_doorman",
                                "-E", "RUNTIME_DIRECTORY=/run/pg_doorman",
                                *(["-E", "LD_LIBRARY_PATH=" + os.environ["LIBRARIES"]]
                                  if "LIBRARIES" in os.environ else []),
                                str(service.original), "upgrade", str(CONFIG)],
                               capture_output=True, text=True, timeout=60, check=False)
        assert first.wait(60) == 0
        assert asked.returncode != 0 and asked.stderr, asked
        idle.check()


def test_the_watchdog_is_content_in_probation(service):
    service.configure(upgrade_probation="5s")
    service.drop_in("watchdog", "[Service]\nWatchdogSec=2s\n")
    service.start()
    with IdleClients(service, count=5) as idle:
        reload(service)
        process.until(lambda: service.show("WatchdogTimestampMonotonic") != "0", "it is fed", 30)
        reload(service)
        idle.check()
    assert service.show("NRestarts") == "0"


def test_pid_1_has_little_to_do_with_it(quick):
    with IdleClients(quick, count=200) as idle:
        before = cpu_of_pid1()
        systemctl("reload", UNIT)
        spent = cpu_of_pid1() - before
        print(f"upgrade: {spent * 1000:.1f} ms of PID 1")
        assert spent < 0.3
        idle.check()
