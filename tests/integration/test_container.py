"""As PID 1 of a container: the first process stays, over any number of upgrades."""

import os
import pathlib
import signal
import subprocess

import pytest

import process

CONTAINER = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--mount",
             "--mount-proc"]


def as_unprivileged():
    uid, gid = process.unprivileged()
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def can_make_containers():
    try:
        return subprocess.run([*CONTAINER, "true"], capture_output=True, check=False,
                              **as_unprivileged()).returncode == 0
    except OSError:
        return False


def children_of(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text(encoding="utf8").split()]


def states_of_children(pid):
    return [pathlib.Path(f"/proc/{child}/stat").read_text(encoding="utf8").rsplit(")", 1)[1].split()[0]
            for child in children_of(pid)]


@pytest.mark.skipif(not can_make_containers(), reason="no user namespaces here")
def test_pid_1_stays(upgradable):
    peer = upgradable(wrapper=CONTAINER)
    init, = children_of(peer.process.pid)
    with peer.connect(autocommit=False) as client:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        for _ in range(2):
            done = subprocess.run([peer.program, "upgrade", peer.ini], capture_output=True,
                                  text=True, timeout=60, check=False, **as_unprivileged())
            assert done.returncode == 0, done.stderr
            assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        client.commit()
    assert peer.process.poll() is None
    # What has ended is reaped, and signals are passed on.
    process.until(lambda: states_of_children(init) in (["S"], ["R"]), "the old ones are reaped",
                  patience=30)
    os.kill(init, signal.SIGHUP)
    process.until(lambda: "the new configuration is in force" in peer.read_log(), "it reloads")
    before = peer.read_log().count("upgrade done")
    os.kill(init, signal.SIGUSR2)
    process.until(lambda: peer.read_log().count("upgrade done") > before, "it upgrades",
                  patience=30)
    with peer.connect() as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    os.kill(init, signal.SIGTERM)
    assert peer.process.wait(30) == 0


@pytest.mark.skipif(not can_make_containers(), reason="no user namespaces here")
def test_the_exit_status_is_passed_on(upgradable):
    peer = upgradable(wrapper=CONTAINER)
    init, = children_of(peer.process.pid)
    pooler, = children_of(init)
    os.kill(pooler, signal.SIGKILL)
    assert peer.process.wait(30) == 128 + signal.SIGKILL
    peer.process = None  # it has not ended well, as it was told to
