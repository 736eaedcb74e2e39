"""What the program says and does when it is started by hand."""

import os
import pathlib
import subprocess

import pytest

import process
import wire
from pooler import binary


def run(*arguments, patience=20):
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, check=False,
                          timeout=patience, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("flag", ("--version", "-V"))
def test_version(flag):
    result = run(flag)
    assert result.returncode == 0
    assert result.stdout.startswith("pg_doorman ") and result.stderr == ""


@pytest.mark.parametrize("flag", ("--help", "-h"))
def test_help(flag):
    result = run(flag)
    assert result.returncode == 0
    assert "--check-config" in result.stdout and result.stderr == ""


@pytest.mark.parametrize("arguments", ((), ("one", "two"), ("--no-such-option", "file"), ("-t",),
                                       ("-u",)))
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.returncode == 1
    assert "--help" in result.stderr and result.stdout == ""


def test_file_that_is_not_there(tmp_path):
    for arguments in ((), ("-t",)):
        result = run(*arguments, str(tmp_path / "none.ini"))
        assert result.returncode == 1
        assert "none.ini" in result.stderr


GOOD = "[databases]\npostgres = host=127.0.0.1\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
BAD = {
    "key": (GOOD + "max_client_con = 5\n", 5, "max_client_conn"),
    "capitals": (GOOD + "POOL_MODE = session\n", 5, "pool_mode"),
    "value": (GOOD + "max_client_conn = many\n", 5, "many"),
    "section": (GOOD + "[pgbuncer]\n", 5, "pgbuncer"),
    "no_equals": (GOOD + "nonsense\n", 5, "nonsense"),
    "database": ("[databases]\nx = hots=127.0.0.1\n[pgbouncer]\n", 2, "host"),
    "mode": (GOOD + "pool_mode = transactional\n", 5, "transaction"),
    "tls": (GOOD + "client_tls_sslmode = require\n", 5, "client_tls_sslmode"),
}


def test_good_file(tmp_path):
    path = tmp_path / "good.ini"
    path.write_text(GOOD)
    for flag in ("-t", "--check-config"):
        result = run(flag, str(path))
        assert result.returncode == 0, result.stderr
        assert str(path) in result.stdout


@pytest.mark.parametrize("text, line, hint", BAD.values(), ids=BAD.keys())
def test_bad_file(tmp_path, text, line, hint):
    path = tmp_path / "bad.ini"
    path.write_text(text)
    for arguments in (("-t",), ()):
        result = run(*arguments, str(path))
        assert result.returncode == 1
        assert f"{path}:{line}: " in result.stderr, result.stderr
        assert hint in result.stderr, result.stderr


def test_bad_user_list(tmp_path):
    (tmp_path / "users.txt").write_text('"good" "pw"\nbad\n')
    path = tmp_path / "file.ini"
    path.write_text(GOOD + f"auth_file = {tmp_path}/users.txt\n")
    result = run("-t", str(path))
    assert result.returncode == 1
    assert f"{tmp_path}/users.txt:2: " in result.stderr, result.stderr


def test_missing_user_list(tmp_path):
    path = tmp_path / "file.ini"
    path.write_text(GOOD + f"auth_file = {tmp_path}/none.txt\n")
    result = run("-t", str(path))
    assert result.returncode == 1
    assert f"{path}: auth_file: " in result.stderr and "none.txt" in result.stderr, result.stderr


def test_several_mistakes_at_once(tmp_path):
    path = tmp_path / "bad.ini"
    path.write_text(GOOD + "a = 1\nb = 2\n")
    result = run("-t", str(path))
    assert ":5: " in result.stderr and ":6: " in result.stderr


def test_port_in_use(pooler):
    peer = pooler()
    with open(peer.log + "2", "ab"):
        second = process.start([peer.program, peer.ini], peer.log + "2", cwd=peer.folder)
    assert second.wait(10) == 1
    text = pathlib.Path(peer.log + "2").read_text(encoding="utf8")
    assert str(peer.port) in text and "in use" in text
    with wire.connect(peer) as connection:
        assert connection.rows("select 1") == ["1"]


def test_unix_socket_in_use(pooler):
    peer = pooler(settings={"unix_socket_dir": "."})
    path = os.path.join(peer.folder, f".s.PGSQL.{peer.port}")
    process.until(lambda: os.path.exists(path), "the unix socket is there")
    ini = os.path.join(peer.folder, "second.ini")
    pathlib.Path(ini).write_text(
        pathlib.Path(peer.ini).read_text(encoding="utf8").replace("listen_addr = 127.0.0.1", ""),
        encoding="utf8")
    second = process.start([peer.program, ini], peer.log + "2", cwd=peer.folder)
    assert second.wait(10) == 1
    assert os.path.exists(path), "the socket of the first one stays"
    peer.signal(15)
    assert peer.process.wait(10) == 0
    assert not os.path.exists(path)


def test_pidfile(pooler):
    peer = pooler(settings={"pidfile": "pid"})
    path = pathlib.Path(peer.folder, "pid")
    process.until(path.exists, "the file is there")
    assert path.read_text(encoding="ascii") == f"{peer.process.pid}\n"
    second = process.start([peer.program, peer.ini], peer.log + "2", cwd=peer.folder)
    assert second.wait(10) == 1
    assert path.read_text(encoding="ascii") == f"{peer.process.pid}\n", "still the first one's"
    peer.settings["pidfile"] = "other"
    peer.reload()
    peer.signal(15)
    assert peer.process.wait(10) == 0
    assert not path.exists()


def test_pidfile_that_cannot_be_written(pooler):
    peer = pooler()
    peer.settings["pidfile"] = "/no/such/folder/pid"
    peer.port = process.free_port()
    peer.write()
    second = process.start([peer.program, peer.ini], peer.log + "2", cwd=peer.folder)
    assert second.wait(10) == 1
    assert "/no/such/folder/pid" in pathlib.Path(peer.log + "2").read_text(encoding="utf8")
