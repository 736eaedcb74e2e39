"""One verdict, whoever asks: the control socket's peers and lines, and signals that hit everybody."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest

import process

STRANGER = 54321  # a user that is neither root nor the pooler


def connect(path):
    asker = socket.socket(socket.AF_UNIX)
    asker.settimeout(60)
    asker.connect(path)
    return asker


def everything(asker):
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while got := asker.recv(4096):
            said += got
    return said.decode()


def ask(path, text):
    with connect(path) as asker:
        asker.sendall(text)
        return everything(asker)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_strangers_are_not_answered(upgradable):
    peer = upgradable()
    path = peer.settings["control_socket"]
    process.until(lambda: os.path.exists(path), "the control socket is there")
    assert os.stat(path).st_mode & 0o777 == 0o600
    # Even if somebody has opened it to all.
    os.chmod(path, 0o777)
    os.chmod(os.path.dirname(path), 0o755)
    os.seteuid(STRANGER)
    try:
        stranger = connect(path)
    finally:
        os.seteuid(0)
    with stranger:
        with contextlib.suppress(OSError):
            stranger.sendall(b"pg_doorman 1 upgrade\n")
        assert everything(stranger) == ""
    assert not peer.show("UPGRADES")
    before = peer.process
    assert "\ndone " in ask(path, b"pg_doorman 1 upgrade\n")  # root
    peer.follow(before)


def test_lines_of_other_releases(upgradable):
    """The asking program may be newer than the answering one."""
    peer = upgradable()
    path = peer.settings["control_socket"]
    for line in (b"pg_doorman 1 dance\n", b"hello\n", b"\n", b"x" * 1000, b"upgrade\n",
                 b"pg_doorman 7 upgrade sideways\n"):
        said = ask(path, line)
        assert said.startswith("failed ") and "does not know that request" in said, (line, said)
    with connect(path) as gone:
        gone.sendall(b"pg_doorman 1 up")  # and says no more
    assert not peer.show("UPGRADES")
    before = peer.process
    said = ask(path, b"pg_doorman 7 upgrade\n")
    assert said.startswith("note ") and "\ndone " in said and said.endswith("\n")
    peer.follow(before)


@pytest.mark.parametrize("answer, status, said", [
    (b"note wait\nprogress 7 of 9\ndone all is well\nmore\n", 0, "all is well"),
    (b"note wait\nfailed it is broken\n", 1, "upgrade failed: it is broken"),
    (b"note wait\n", 1, "ended without a verdict"),
    (b"", 1, "ended without a verdict"),
])
def test_answers_of_other_releases(upgradable, answer, status, said):
    """The answering process may be newer than the asking one, or die."""
    peer = upgradable()
    path = os.path.join(peer.folder, "another.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(60)

        def serve():
            asker, _ = listener.accept()
            with asker:
                assert asker.recv(100) == b"pg_doorman 1 upgrade\n"
                asker.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        done = subprocess.run([peer.program, "upgrade", "--socket", path], capture_output=True,
                              text=True, timeout=60, check=False)
        thread.join(60)
    assert done.returncode == status
    assert said in done.stdout + done.stderr


def test_nobody_is_asked(upgradable):
    peer = upgradable()
    done = subprocess.run([peer.program, "upgrade", "--socket", os.path.join(peer.folder, "none")],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "no running pg_doorman answers" in done.stderr


def processes_of(peer):
    """All that run its program, as `pgrep pg_doorman` would list them."""
    found = []
    for each in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if each.name.isdigit() and os.readlink(each / "exe") == peer.program:
                found.append(int(each.name))
    return found


def test_signals_to_all_processes(upgradable):
    """`kill -USR2 $(pgrep pg_doorman)`: the first one begins an upgrade; one in its middle, which
    reaches the successor and the program that asks, too, begins no second one and harms nobody."""
    peer = upgradable(settings={"upgrade_probation": "2"})
    with peer.connect(autocommit=False) as client:
        client.execute("create temp table mine (x int) on commit drop")
        before = peer.process
        with subprocess.Popen([peer.program, "upgrade", peer.ini], stdout=subprocess.PIPE,
                              text=True) as asks:
            process.until(lambda: len(processes_of(peer)) >= 3, "a successor is there")
            for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR2):
                for pid in processes_of(peer):
                    os.kill(pid, number)
            assert asks.wait(60) == 0, asks.stdout.read()
        peer.follow(before)
        assert client.execute("select count(*) from mine").fetchone() == (0,)
        client.commit()
    process.until(lambda: before.poll() is not None, "the old process has ended", patience=30)
    assert before.wait() == 0
    process.until(lambda: processes_of(peer) == [peer.process.pid], "one is left", patience=30)
    # What the successor was sent before it was in charge counts no more, or counts once.
    assert [row["result"] for row in peer.show("UPGRADES")].count("done") >= 1
    before = peer.process
    peer.signal(signal.SIGUSR2)
    peer.follow(before)
