"""Upgrades that fail, each in its own way: the old process serves on with all its clients, and the
verdict says why."""

import os
import pathlib
import subprocess

import pytest

import process


@pytest.fixture
def upgradable(pooler):
    folder = process.new_folder("pgup-")
    yield lambda **settings: pooler(settings={
        "pidfile": os.path.join(folder, "pid"), "control_socket": os.path.join(folder, "control"),
        "upgrade_probation": "0.3", **settings})
    process.remove_folder(folder)


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
