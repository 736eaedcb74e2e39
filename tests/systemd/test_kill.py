"""A process is killed in an upgrade: no idle client loses its connection."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

import process
from load import IdleClients, Load
from service import UNIT, systemctl


def successors(service, pid):
    """Processes of the service besides its main one."""
    group = service.show("ControlGroup")
    text = pathlib.Path("/sys/fs/cgroup" + group, "cgroup.procs").read_text(encoding="utf8")
    return [int(line) for line in text.split() if int(line) != pid and
            "upgrade" not in pathlib.Path(f"/proc/{line}/cmdline").read_text(encoding="utf8")]


def idle_check_in_probation(service, idle):
    pid = service.pid()
    process.until(lambda: successors(service, pid), "a successor is there", 30)
    service.until_journal("probation|stands by|takes over|serves")
    idle.check()


# Milliseconds after the request. Which step is hit depends on the machine; what must hold does not.
MOMENTS = (0, 10, 25, 50, 100, 200, 400, 900)


def test_the_new_process_is_killed_at_any_moment(service):
    service.configure(upgrade_probation="500ms")
    service.start()
    with IdleClients(service) as idle:
        with Load(service, clients=4) as load:
            for moment in MOMENTS:
                pid = service.pid()
                with subprocess.Popen(["systemctl", "reload", UNIT], stderr=subprocess.PIPE) as asks:
                    time.sleep(moment / 1000)
                    for target in successors(service, pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(target, signal.SIGKILL)
                    asks.wait(60)
                service.until_running()
                load.until_all_have_worked()
                idle.check()
        load.check_nothing_wrong()
        idle.check()


def test_a_successor_that_dies_in_probation_gives_all_back(service):
    service.configure(upgrade_probation="20s")
    service.start()
    with IdleClients(service) as idle:
        pid = service.pid()
        reloading = subprocess.Popen(["systemctl", "reload", UNIT])
        idle_check_in_probation(service, idle)
        os.kill(max(successors(service, pid)), signal.SIGKILL)
        assert reloading.wait(60) != 0
        assert service.pid() == pid
        service.until_running()
        idle.check()


def test_after_an_upgrade_all_else_still_works(service):
    service.configure(upgrade_probation="500ms")
    service.start()
    with IdleClients(service) as idle:
        for event in ("reload", "daemon-reexec", "kill", "reload", "restart", "reload", "kill"):
            if event == "kill":
                service.kill()
            elif event == "daemon-reexec":
                systemctl(event)
            else:
                systemctl(event, UNIT)
            service.until_running()
            idle.check()


# From "old go" on systemd ends the new process too, since its main one has died: then clients are
# told, and connect again.
STEPS = ("old started", "old stopped", "old carried")


@pytest.mark.parametrize("step", STEPS)
def test_the_old_process_is_killed_at_a_step(service, step):
    faulty = pathlib.Path(os.environ["BUILD"], "tests", "pg_doorman_faulty")
    if not faulty.exists():
        pytest.skip("pg_doorman_faulty is not built")
    service.configure(upgrade_probation="500ms")
    service.install(faulty)
    service.drop_in("fault", f'[Service]\nEnvironment="PG_DOORMAN_FAULT={step}:kill"\n')
    service.start()
    pid = service.pid()
    with IdleClients(service) as idle:
        systemctl("reload", UNIT, check=False)
        service.until_replaced(pid)
        idle.check()
        # And then all is as it was: the fault is in upgrades only.
        assert len(service.console("SHOW CLIENTS")) >= len(idle.connections)
