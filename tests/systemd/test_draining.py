"""A process that has handed over goes on for the clients that could not be carried."""

import contextlib
import os
import pathlib
import signal

import process
from load import IdleClients
from service import UNIT, systemctl


def test_a_draining_process_does_not_hide_its_successors_death(service):
    both = {"postgres": "", "other": ""}
    service.configure(databases=both, upgrade_probation="300ms", shutdown_timeout="100s")
    service.start()
    old = service.pid()
    with IdleClients(service) as idle, contextlib.closing(service.connect(dbname="other")) as left:
        left.execute("BEGIN")
        service.configure(upgrade_probation="300ms", shutdown_timeout="100s")  # without "other"
        systemctl("reload", UNIT)
        process.until(lambda: service.pid() not in (0, old), "the successor is the main process")
        assert left.execute("SELECT 1").fetchone() == (1,)
        assert pathlib.Path(f"/proc/{old}").exists(), "the old process drains"
        service.until_proven()
        pid = service.pid()
        os.kill(pid, signal.SIGKILL)
        service.until_replaced(pid, patience=10)  # by far less than the time to drain
        idle.check()
