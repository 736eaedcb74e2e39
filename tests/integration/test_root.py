"""Started as root, the pooler becomes the user it is told to be, or refuses."""

import os
import subprocess

import pytest

import process
import wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try this")


def run_as_root(peer, patience=10):
    return subprocess.run([peer.program, peer.ini], capture_output=True, text=True,
                          timeout=patience, check=False, stdin=subprocess.DEVNULL)


def test_root_is_refused(pooler):
    peer = pooler()
    peer.port = process.free_port()
    peer.write()
    result = run_as_root(peer)
    assert result.returncode != 0
    assert "root" in result.stderr + result.stdout


def test_user_that_does_not_exist(pooler):
    peer = pooler()
    peer.port = process.free_port()
    peer.settings["user"] = "no_such_user"
    peer.write()
    assert run_as_root(peer).returncode != 0


def test_becomes_its_user(pooler):
    peer = pooler()
    peer.settings["user"] = process.user_name()
    peer.port = process.free_port()
    peer.write()
    with open(peer.log, "ab") as log:
        started = subprocess.Popen([peer.program, peer.ini], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
    first, peer.process = peer.process, started
    process.stop(first)
    process.until(lambda: peer.listens_or_ended(), "it listens")
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]
    with open(f"/proc/{started.pid}/status", encoding="ascii") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    uid, gid = process.unprivileged()
    assert lines["Uid"].split() == [str(uid)] * 4
    assert lines["Gid"].split()[0] != "0"
    assert "0" not in lines["Groups"].split()
