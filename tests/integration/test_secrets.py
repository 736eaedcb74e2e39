"""Keys of sessions: what outlives the process has them, and nothing else does. They are in no file,
in no log and in no core dump, and gone when they are of no use any more.

A core dump holds no more than the memory whose mapping has not the flag `dd` in /proc/PID/smaps.
"""

import base64
import hashlib
import hmac
import mmap
import os
import pathlib
import re
import signal
import struct

import pytest

import cluster
import pooler as pooler_module
import process
import wire
from service import KeptPooler

SANITIZED = b"__asan_init" in pathlib.Path(pooler_module.binary()).read_bytes()
HEAD, SLOTS, SLOT = 4096, 1 << 20, 32
NOTHING = bytes(4096)  # most pages hold nothing, and to look for a key in them takes long
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


def fields(body):
    found, at = {}, 0
    while at < len(body):
        tag, size = struct.unpack_from("!HI", body, at)
        found[tag] = body[at + 6:at + 6 + size]
        at += 6 + size
    return found


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


def server_keys(pooler):
    """Cancel keys of PostgreSQL's: in the records of servers, which have an address (3) as well."""
    records, keys, at = journal(pooler), [], 40
    while at + 40 <= len(records):
        size, kind = struct.unpack_from("=IH", records, at)
        if kind == 0:
            break
        body = records[at + 40:at + 40 + size]
        if kind == 2 and body.strip(b"\0"):
            keys.append(fields(body)[4])
        at += (40 + size + 7) & ~7
    assert keys
    return keys


def core_dump(pid):
    """All that could be in one, by the name of its mapping."""
    def mappings():
        name, bounds, readable = "", None, False
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf8").splitlines():
            begin = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)", line)
            if begin:
                bounds = int(begin[1], 16), int(begin[2], 16)
                # What cannot be written is what the file says.
                readable, name = begin[3].startswith("rw"), begin[4]
            elif line.startswith("VmFlags:") and readable and "dd" not in line.split():
                yield name, bounds

    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for name, (begin, end) in mappings():
            if name in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                continue
            memory.seek(begin)
            parts = []
            while begin < end:
                part = memory.read(end - begin)
                if not part:
                    break
                parts.append(part)
                begin += len(part)
            data = b"".join(parts)
            pages = (data[at:at + 4096] for at in range(0, len(data), 4096))
            yield name, b"".join(page for page in pages if page != NOTHING)


def leaks(pid, keys):
    return [(name or "anonymous", number)
            for name, data in core_dump(pid) for number, key in enumerate(keys) if key in data]


def assert_not_dumped(pooler, keys):
    if SANITIZED:
        return  # its allocator keeps what is freed for a while
    assert leaks(pooler.process.pid, [b"scram_user"]), "this test sees the process's memory"
    assert leaks(pooler.process.pid, keys) == []


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


def test_no_key_is_dumped_or_written(postgres, kept):
    clients = [connect(kept) for _ in range(20)]
    answers(clients)
    keys = scram_keys(postgres) + [client.key for client in clients]
    records = journal(kept)
    assert all(key in records for key in keys), "the stash has what this test looks for"
    keys += server_keys(kept)
    assert_not_dumped(kept, keys)
    kept.upgrade()
    answers(clients)
    assert_not_dumped(kept, keys)
    crash_safe(kept)
    kept.crash()
    answers(clients)
    assert_not_dumped(kept, keys + server_keys(kept))
    assert_in_no_file(kept, keys)
    # Where RLIMIT_MEMLOCK does not allow to lock it each process says so, once.
    assert kept.read_log().count("may be swapped out") <= 3


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


def test_what_is_over_is_wiped(postgres, kept):
    with connect(kept) as stays, connect(kept) as leaves:
        key = leaves.key
        process.until(lambda: key in journal(kept), "it is written down", 30)
        leaves.send(wire.TERMINATE)
        assert leaves.is_closed()
        process.until(lambda: key not in journal(kept), "its record is wiped", 30)
        assert stays.key in journal(kept)
        with kept.store.lock:
            fd = os.dup(next(fd for name, fd in kept.store.kept if name.startswith("stash.j")))
        kept.signal(signal.SIGTERM)
        kept.process.wait(20)
        after = written(fd)
        os.close(fd)
        assert not [key for key in scram_keys(postgres) + [stays.key] if key in after]
