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


@pytest.mark.skipif(not can_make_containers(), reason="no user namespaces here")
def test_pid_1_stays(upgradable):
    peer = upgradable(wrapper=CONTAINER)
    children = pathlib.Path(f"/proc/{peer.process.pid}/task/{peer.process.pid}/children")
    init = int(children.read_text(encoding="utf8"))
    with peer.connect(autocommit=False) as client:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        for _ in range(2):
            done = subprocess.run([peer.program, "upgrade", peer.ini], capture_output=True,
                                  text=True, timeout=60, check=False, **as_unprivileged())
            assert done.returncode == 0, done.stderr
            assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        client.commit()
    assert peer.process.poll() is None
    os.kill(init, signal.SIGTERM)
    assert peer.process.wait(30) == 0
