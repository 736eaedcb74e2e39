"""Where the log goes: file, rotation, syslog, standard error, quiet."""

import os
import pathlib
import signal

import process
import wire


def test_file_and_rotation(pooler):
    peer = pooler(settings={"logfile": "log"})
    path = pathlib.Path(peer.folder, "log")
    process.until(lambda: path.exists() and "process up" in path.read_text(), "the log is there")
    old = path.rename(path.with_suffix(".1"))
    peer.signal(signal.SIGHUP)
    process.until(lambda: path.exists() and "in force" in path.read_text(), "a new file")
    before = old.stat().st_size
    with wire.connect(peer) as connection:
        connection.rows("select 1")
    process.until(lambda: "tester" in path.read_text(), "the new file gets the lines")
    assert old.stat().st_size == before


def test_file_that_cannot_be_written_is_refused(pooler):
    peer = pooler()
    peer.settings["logfile"] = "/no/such/folder/log"
    peer.write()
    peer.signal(signal.SIGHUP)
    process.until(lambda: "/no/such/folder/log" in peer.read_log(), "it says so")
    assert "refused" in peer.read_log()
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]


def test_quiet(pooler):
    peer = pooler(settings={"logfile": "log"}, arguments=("--quiet",))
    with wire.connect(peer) as connection:
        connection.rows("select 1")
    path = pathlib.Path(peer.folder, "log")
    process.until(lambda: "tester" in path.read_text(), "the file has the lines")
    assert peer.read_log() == ""


def test_syslog_without_a_syslog_daemon(pooler):
    peer = pooler(settings={"syslog": "1", "syslog_ident": "doorman", "syslog_facility": "local3"})
    for _ in range(20):
        with wire.connect(peer) as connection:
            assert connection.rows("select 1") == ["1"]
    peer.signal(signal.SIGHUP)
    process.until(lambda: "in force" in peer.read_log(), "the reload is done")


def test_no_secret_is_logged(pooler):
    peer = pooler(settings={"auth_type": "scram-sha-256", "verbose": "3"},
                  users={"tester": "very-secret"}, databases={"postgres": "password=very-secret"})
    with wire.Wire(peer.host, peer.port) as connection:
        assert connection.login("very-secret")[-1][0] == "Z"
    with wire.Wire(peer.host, peer.port) as connection:
        assert connection.login("wrong-secret")[-1][0] == "E"
    process.until(lambda: "password authentication failed" in peer.read_log(), "it is logged")
    assert "-secret" not in peer.read_log()


def test_a_peer_cannot_forge_a_line(pooler):
    peer = pooler()
    with wire.Wire(peer.host, peer.port) as connection:
        connection.login(user="b\r\n2026-01-01 FATAL forged\x1b[31m")
    with wire.connect(peer, application_name="x\n2026-01-01 FATAL forged") as connection:
        connection.rows("select 1")
    os.kill(peer.process.pid, signal.SIGHUP)
    process.until(lambda: "in force" in peer.read_log(), "the reload is done")
    lines = peer.read_log().splitlines()
    assert not [line for line in lines if line.startswith("2026-01-01 FATAL")]
    assert "\x1b" not in peer.read_log()
