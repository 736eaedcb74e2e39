"""Keys of sessions: what outlives the process has them, and no file and no log does."""

import base64
import hashlib
import hmac
import mmap
import os
import pathlib

import pytest

import cluster
import process
import wire
from service import KeptPooler

HEAD, SLOTS, SLOT = 4096, 1 << 20, 32
RECORDS, HALF = HEAD + SLOTS * SLOT, 1 << 30


@pytest.fixture
def kept(postgres):
    """Clients prove who they are by SCRAM, and the pooler proves the same to PostgreSQL by what
    they have proven."""
    folder = process.new_folder("pgup-")
    pooler = KeptPooler(postgres, users={"scram_user": postgres.secret("scram_user"), "admin": ""},
                        arguments=("-v", "-v"),
                        settings={"auth_type": "scram-sha-256", "upgrade_probation": "0.5",
                                  "admin_users": "scram_user",
                                  "pidfile": os.path.join(folder, "pid"),
                                  "control_socket": os.path.join(folder, "control")})
    yield pooler.start()
    pooler.stop()
    process.remove_folder(folder)


def connect(pooler):
    return wire.connect(pooler, user="scram_user", secret=cluster.password("scram_user"))


def scram_keys(postgres):
    """Client key and server key, which the pooler has from a login."""
    _, settings, _ = postgres.secret("scram_user").split("$")
    iterations, salt = settings.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", cluster.password("scram_user").encode(),
                                 base64.b64decode(salt), int(iterations))
    return [hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key")]


def journal(pooler):
    """The bytes of all records of the journal, garbage included."""
    with pooler.store.lock:
        fd = os.dup(next(fd for name, fd in pooler.store.kept if name.startswith("stash.j")))
    try:
        return written(fd)
    finally:
        os.close(fd)


def written(fd):
    with mmap.mmap(fd, RECORDS + 2 * HALF, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        return b"".join(memory[RECORDS + half * HALF:RECORDS + half * HALF + (1 << 20)]
                        for half in (0, 1))


def assert_in_no_file(pooler, keys):
    forms = [form for key in keys
             for form in (key, key.hex().encode(), key.hex().upper().encode(),
                          base64.b64encode(key).rstrip(b"=")[:-1])]
    for path in pathlib.Path(pooler.folder).iterdir():
        if not path.is_file() or str(path) == pooler.program:
            continue
        data = path.read_bytes()
        if path.name == "userlist.txt":  # PostgreSQL's secret has the server key
            data = data.replace(data.split(b":")[-1], b"")
        assert not [form for form in forms if form in data], path


def crash_safe(pooler):
    """After an upgrade: the new process has a stash of its own."""
    def has_one():
        with wire.connect(pooler, user="scram_user", secret=cluster.password("scram_user"),
                          database="pgbouncer") as console:
            return "1" in [body[-1:].decode() for kind, body in console.ask("show stash")
                           if kind == "D" and b"crash_safe" in body]

    process.until(has_one, "it is crash-safe", patience=30)


def answers(clients):
    for number, client in enumerate(clients):
        assert client.rows(f"select {number}") == [str(number)]


def test_no_key_is_in_a_file_or_in_the_log(postgres, kept):
    clients = [connect(kept) for _ in range(20)]
    answers(clients)
    keys = scram_keys(postgres) + [client.key for client in clients]
    process.until(lambda: all(key in journal(kept) for key in keys),
                  "the stash has what this test looks for", 30)
    kept.upgrade()
    answers(clients)
    crash_safe(kept)
    kept.crash()
    answers(clients)
    assert_in_no_file(kept, keys)


def test_who_goes_on_can_log_in_to_servers(postgres, kept):
    """Only a client's login tells the keys for it: the next process needs them, too."""
    with connect(kept) as client:
        pid = client.rows("select pg_backend_pid()")
        kept.upgrade()
        postgres.ask("select pg_terminate_backend(%s)", int(pid[0]))
        process.until(lambda: not postgres.ask("select from pg_stat_activity where pid = %s",
                                               int(pid[0])), "the server is gone", 30)
        process.until(lambda: client.ask("select 1")[-2][0] == "C", "a new one serves the client",
                      30)
        crash_safe(kept)
        kept.crash()
        assert client.rows("select 2") == ["2"]
