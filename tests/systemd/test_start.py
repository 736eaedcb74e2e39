"""How the service starts and ends, and what systemd knows of it meanwhile."""

import contextlib
import os
import pathlib
import re
import signal
import time

import psycopg
import pytest

import process
from service import SOCKET, SOCKET_FOLDER, UNIT, cpu_of_pid1, run, systemctl


def test_a_client_starts_it_through_the_socket_unit(service):
    systemctl("start", SOCKET)
    assert service.state() == "inactive/dead"
    with service.connect() as tcp, service.connect(host=SOCKET_FOLDER) as unix:
        assert tcp.execute("select 1").fetchone() == (1,)
        assert unix.execute("select 2").fetchone() == (2,)
    assert service.state() == "active/running"
    said = service.journal()
    assert "WARNING" not in said and "passed by the service manager" in said


def test_status_tells_of_clients_and_servers(service):
    service.start()
    with service.connect() as one, service.connect():
        one.execute("select 1")
        process.until(lambda: re.search(r"^Serving: 2 clients, [1-9]\d* servers? in 1 pool$",
                                        service.show("StatusText")), "the status tells of them", 30)
    process.until(lambda: "0 clients" in service.show("StatusText"), "and of their end", 30)


def test_sockets_that_differ_from_the_configuration_are_reported(service):
    service.configure(listen_port=7777)
    service.start()
    said = service.journal()
    assert "the service manager's sockets are used" in said
    assert "0.0.0.0:6432" in said and "0.0.0.0:7777" in said
    with service.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_unix_socket_of_systemd_stays_when_the_service_ends(service):
    service.start()
    path = pathlib.Path(SOCKET_FOLDER, ".s.PGSQL.6432")
    before = path.stat().st_ino
    systemctl("stop", UNIT)
    assert path.stat().st_ino == before
    with service.connect(host=SOCKET_FOLDER) as connection:  # and starts it again
        assert connection.execute("select 1").fetchone() == (1,)


def test_its_own_sockets_wait_over_a_restart(service):
    service.configure(unix_socket_dir="/run/pg_doorman")
    service.start(with_socket=False)
    before = service.pid()
    os.kill(before, signal.SIGKILL)
    for host in ("127.0.0.1", "/run/pg_doorman"):  # not refused, although nobody may run just now
        with service.connect(host=host) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert service.until_replaced(before) != before
    assert "listening on 0.0.0.0:6432 again" in service.journal()
    assert "listening on unix:/run/pg_doorman/.s.PGSQL.6432 again" in service.journal()


def test_stop_ends_clients_politely(service):
    service.start()
    with service.connect() as connection:
        connection.execute("select 1")
        systemctl("stop", SOCKET, UNIT)
        with pytest.raises(psycopg.OperationalError, match="due to administrator command"):
            connection.execute("select 1")
    assert service.state() == "inactive/dead"


def test_a_stop_takes_as_long_as_its_clients(service):
    """systemd is told that it goes on, so it does not kill a process that lets transactions end."""
    service.configure(shutdown_timeout=60)
    service.drop_in("stop", "[Service]\nTimeoutStopSec=2s\n")
    service.start()
    with service.connect() as connection:
        connection.autocommit = False
        connection.execute("create temp table mine (x int) on commit drop")
        began = time.monotonic()
        systemctl("stop", "--no-block", SOCKET, UNIT)
        process.until(lambda: service.state() == "deactivating/stop-sigterm", "it ends", 30)
        process.until(lambda: time.monotonic() - began > 4, "twice the limit is over", 30)
        assert connection.execute("select count(*) from mine").fetchone() == (0,)
        connection.commit()
    process.until(lambda: service.state() == "inactive/dead", "the service has ended", 30)
    assert service.show("Result") == "success"


def test_shutdown_on_the_console_is_for_good(service):
    service.configure(unix_socket_dir="/run/pg_doorman")
    service.start(with_socket=False)
    with service.connect() as connection:
        connection.execute("select 1")
        with contextlib.suppress(psycopg.OperationalError):
            service.console("SHUTDOWN")
        process.until(lambda: service.state() == "inactive/dead", "the service has ended", 30)
        with pytest.raises(psycopg.OperationalError, match="due to administrator command"):
            connection.execute("select 1")
    assert service.show("NRestarts") == "0" and service.show("Result") == "success"


def test_sighup_reads_the_configuration_again(service):
    service.start()
    pid = service.pid()
    service.configure(default_pool_size=7)
    systemctl("kill", "-s", "HUP", UNIT)
    service.until_journal("the new configuration is in force")
    service.until_running()
    shown = {row["key"]: row["value"] for row in service.console("SHOW CONFIG")}
    assert shown["default_pool_size"] == "7"
    service.configure(no_such_setting=7)
    systemctl("kill", "-s", "HUP", UNIT)
    service.until_journal("reload refused")
    service.until_running()  # READY=1 follows RELOADING=1 even so
    assert service.pid() == pid


def test_daemon_reexec_and_daemon_reload_change_nothing(service):
    service.start()
    pid = service.pid()
    with service.connect() as connection:
        connection.execute("select 1")
        systemctl("daemon-reexec")
        systemctl("daemon-reload")
        assert connection.execute("select 2").fetchone() == (2,)
    assert service.pid() == pid
    service.until_running()


def test_pid_1_has_little_to_do(service):
    service.start()
    with service.connect() as connection:
        connection.execute("select 1")
        before = cpu_of_pid1()
        for _ in range(2000):
            connection.execute("select 1")
        assert cpu_of_pid1() - before < 0.2


def test_the_sandbox_is_tight(service):
    service.start()
    said = run("systemd-analyze", "security", "--no-pager", "--threshold=20", UNIT, check=False)
    assert said.returncode == 0, said.stdout
