"""A process is killed in an upgrade: no idle client loses its connection."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time

import psycopg
import pytest

import process
from load import IdleClients, Load
from service import SOCKET, UNIT, systemctl


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


# Where a process is killed, and whether a client in a transaction then goes on (the old process
# serves on with all) or is told that it is over. Idle clients go on in every case.
GOES_ON, IS_OVER = "goes on", "is over"
STEPS = {
    "old started": IS_OVER, "old stopped": IS_OVER, "old carried": IS_OVER, "old go": IS_OVER,
    "old probation": IS_OVER, "old done": IS_OVER, "old main": GOES_ON,
    "hello": GOES_ON, "rehearse": GOES_ON, "carry": GOES_ON, "built": GOES_ON, "carried": GOES_ON,
    "go": IS_OVER, "ping": IS_OVER, "ping 4": IS_OVER, "done": IS_OVER,
}


@pytest.fixture
def faulty(service):
    """The service with a program that fails at the step that begin() names."""
    program = pathlib.Path(os.environ["BUILD"], "tests", "pg_doorman_faulty")
    if not program.exists():
        pytest.skip("pg_doorman_faulty is not built")

    def begin(fault, probation="900ms"):
        service.configure(upgrade_probation=probation)
        service.install(program)
        service.drop_in("fault", f'[Service]\nEnvironment="PG_DOORMAN_FAULT={fault}"\n')
        return service.start()

    return begin


def no_session_is_left_over(service):
    def no_more_than_known():
        there = service.cluster.ask("select count(*) from pg_stat_activity where backend_type = "
                                    "'client backend' and pid <> pg_backend_pid()")[0][0]
        return there <= len(service.console("SHOW SERVERS"))
    process.until(no_more_than_known, "PostgreSQL has no session that we do not know", 30, 0.2)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(faulty, step):
    service = faulty(f"{step}:kill")
    pid = service.pid()
    with IdleClients(service, count=10) as idle, service.connect() as busy:
        busy.autocommit = False
        busy.execute("create temp table mine (id int) on commit drop")
        systemctl("reload", UNIT, check=False)
        if step.startswith("old") or step == "done":
            service.until_replaced(pid)
        else:
            service.until_running()
            assert service.pid() == pid
        idle.check()
        if STEPS[step] == GOES_ON:
            busy.execute("insert into mine values (1)")
            busy.commit()
        else:
            with pytest.raises(psycopg.OperationalError):
                busy.execute("insert into mine values (1)")
        # And then all is as it was: the fault is in upgrades only.
        assert len(service.console("SHOW CLIENTS")) >= len(idle.connections)
        no_session_is_left_over(service)


# ---- SIGTERM in an upgrade ------------------------------------------------------------------------

MIDDLES = {"before the new process serves": "hello:hang", "in probation": "none:exit"}


@contextlib.contextmanager
def upgrade_under_way(service, middle):
    pid = service.pid()
    service.mark()
    with subprocess.Popen(["systemctl", "reload", UNIT], stderr=subprocess.PIPE) as asks:
        process.until(lambda: successors(service, pid), "a successor is there", 30)
        if middle == "in probation":
            service.until_journal("serves .* clients and")
        yield
        asks.wait(60)


@pytest.mark.parametrize("middle", MIDDLES)
def test_a_restart_in_the_middle_is_a_restart(faulty, middle):
    service = faulty(MIDDLES[middle], probation="20s")
    pid = service.pid()
    with IdleClients(service, count=10) as idle, service.connect() as busy:
        busy.autocommit = False
        before = busy.execute("select pg_backend_pid(), txid_current()").fetchone()
        with upgrade_under_way(service, middle):
            systemctl("restart", UNIT)
        service.until_replaced(pid)
        idle.check()
        assert busy.execute("select pg_backend_pid(), txid_current()").fetchone() == before
        busy.commit()


@pytest.mark.parametrize("middle", MIDDLES)
def test_a_stop_in_the_middle_is_a_stop(faulty, middle):
    service = faulty(MIDDLES[middle], probation="20s")
    with service.connect() as idle:
        idle.execute("select 1")
        with upgrade_under_way(service, middle):
            systemctl("stop", SOCKET, UNIT)
        with pytest.raises(psycopg.OperationalError, match="due to administrator command"):
            idle.execute("select 1")
    # The reload that was under way has failed, which systemd may call a failure of the unit.
    assert service.state() in ("inactive/dead", "failed/failed")
    assert service.show("NFileDescriptorStore") in ("0", "")


# ---- A process that has hardly begun --------------------------------------------------------------

def test_killed_when_what_was_parked_has_just_been_taken(faulty):
    service = faulty("restarted:kill")
    pid = service.pid()
    with IdleClients(service, count=10) as idle:
        systemctl("restart", UNIT, check=False)
        service.until_journal("the process before has died: 10 idle clients go on")
        service.until_replaced(pid)
        idle.check()


def test_who_dies_over_what_was_parked_sets_it_aside_after_three_tries(faulty):
    service = faulty("unpark:kill")
    with IdleClients(service, count=10) as idle:
        systemctl("restart", UNIT, check=False)
        service.until_journal("cannot be used: 3 processes have died over it")
        service.until_journal("the process before has died: 10 idle clients go on")
        idle.check()
    with service.connect() as new:
        new.execute("select 1")


@pytest.mark.parametrize("event", ["restart", "kill"])
def test_killed_soon_after_it_was_started(service, event):
    """Whatever it has come to: nothing of the process before is given up too early."""
    service.start()
    chance = random.Random(event)
    with IdleClients(service, count=20) as idle:
        for _ in range(5):
            service.until_proven()  # three deaths in a row are too many, by intent
            pid = service.pid()
            if event == "restart":
                systemctl("restart", "--no-block", UNIT)
            else:
                os.kill(pid, signal.SIGKILL)
            process.until(lambda: service.pid() not in (0, pid), "the next one is there", 30, 0.001)
            pid = service.pid()
            time.sleep(chance.uniform(0, 0.3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            service.until_replaced(pid)
            idle.check()
