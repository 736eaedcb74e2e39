"""What an upgrade needs of descriptors and memory, and what it leaves behind: with a limit of
clients + servers + 1,024 descriptors, which is also the kernel's for sockets in flight."""

import os
import pathlib
import re
import struct

import pytest

import pooler as pooler_module
import process
import wire
from service import KeptPooler

CLIENTS, SERVERS = 1500, 3
SANITIZED = b"__asan_init" in pathlib.Path(pooler_module.binary()).read_bytes()
# What a process of ours has: sockets, memory of ours, what the kernel makes for loops and threads.
OURS = re.compile(r"socket:|anon_inode:|pipe:|/memfd:pg_doorman|/dev/null|.*/pg_doorman\.log$")


@pytest.fixture
def kept(postgres):
    folder = process.new_folder("pgup-")
    started = []

    def make(**options):
        settings = {"max_client_conn": "5000", "upgrade_probation": "0.2",
                    "pidfile": os.path.join(folder, "pid"),
                    "control_socket": os.path.join(folder, "control")}
        started.append(KeptPooler(postgres, settings=settings, **options))
        return started[-1].start()

    yield make
    for pooler in started:
        pooler.stop()
    process.remove_folder(folder)


def figures(pooler):
    """SHOW STASH. Not by psycopg, whose select() knows no descriptor beyond 1,023."""
    with wire.connect(pooler, user="admin", database="pgbouncer", patience=30) as console:
        rows = [columns(body) for kind, body in console.ask("show stash") if kind == "D"]
    return {key: int(value) for key, value in rows}


def columns(row):
    at, found = 2, []
    for _ in range(struct.unpack_from("!h", row)[0]):
        size = struct.unpack_from("!i", row, at)[0]
        found.append(row[at + 4:at + 4 + size].decode())
        at += 4 + size
    return found


def descriptors(pid):
    links = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass  # closed meanwhile
    return links


def memory(pid):
    """Its share of memory in kB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf8")
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])


def install(pooler, text):
    path = pooler.program + ".new"
    pathlib.Path(path).write_text(text, encoding="utf8")
    os.chmod(path, 0o755)
    os.rename(path, pooler.program)


def test_five_upgrades_with_few_descriptors(kept):
    pooler = kept(files=CLIENTS + SERVERS + 1024)
    clients = [wire.connect(pooler, patience=30) for _ in range(CLIENTS)]
    sizes = []
    for upgrade in range(5):
        pooler.upgrade()
        process.until(lambda: figures(pooler)["vault_sockets"] >= CLIENTS and
                      figures(pooler)["clients_not_kept"] == 0, "all are crash-safe again",
                      patience=30)
        for client in clients[upgrade::50]:
            assert client.rows("select 1") == ["1"]
        sizes.append((len(descriptors(pooler.process.pid)), memory(pooler.process.pid)))
        strange = [link for link in descriptors(pooler.process.pid).values()
                   if not OURS.match(link)]
        assert not strange
    # Servers that some of the queries opened, and the loops' threads: a handful.
    assert max(fds for fds, _ in sizes) <= sizes[0][0] + 8, sizes
    if not SANITIZED:
        # The allocator keeps more or less of what was freed: a fifth and 2 MB.
        assert max(kb for _, kb in sizes) <= sizes[0][1] * 1.2 + 2048, sizes
    pooler.crash()
    for client in clients:
        assert client.rows("select 2") == ["2"]
    for client in clients:
        client.close()


def test_nothing_else_crosses_exec(kept):
    """The new program is a script that notes what it has got before it becomes the new program."""
    pooler = kept()
    with wire.connect(pooler) as client:
        client.rows("select 1")
        real, notes = pooler.program + ".real", os.path.join(pooler.folder, "notes")
        os.rename(pooler.program, real)
        install(pooler, "#!/bin/bash\nif [[ $* == *--take-over* ]]; then\n"
                "(cd /proc/$$/fd; for fd in *; do echo $fd $(readlink $fd); done)"
                f" > {notes}\nenv > {notes}.env\nfi\nexec {real} \"$@\"\n")
        pooler.upgrade()
        assert client.rows("select 1") == ["1"]
    got = dict(line.split(" ", 1) for line in pathlib.Path(notes).read_text().splitlines()
               if " " in line)
    script = [fd for fd, link in got.items() if link == pooler.program or link.startswith("/proc/")]
    assert {fd for fd in got if fd not in script} == {"0", "1", "2", "3"}, got
    assert got["3"].startswith("socket:")  # the way to the old process
    environment = pathlib.Path(notes + ".env").read_text()
    assert not re.search(r"^(LISTEN_|WATCHDOG_PID)", environment, re.MULTILINE)


def test_more_than_the_kernel_keeps_in_flight(kept):
    """Clients beyond the limit are served as well as others, but end with the process; the console
    and the log say so. When others have left, they are kept."""
    pooler = kept(files=320)
    clients = [wire.connect(pooler) for _ in range(60)]
    for _ in range(500):
        wire.connect(pooler).close()
    late = []
    while figures(pooler)["clients_not_kept"] == 0:
        assert len(late) < 200
        late += [wire.connect(pooler) for _ in range(20)]
    assert "are not crash-safe" in pooler.read_log()
    for client in clients + late:
        assert client.rows("select 1") == ["1"]
    for client in late[:-1]:
        client.close()
    process.until(lambda: figures(pooler)["clients_not_kept"] == 0, "the rest is kept", patience=30)
    shown = figures(pooler)
    assert shown["vault_sockets"] >= 61
    kept_names = [name for name in pooler.store.names() if name.startswith("stash.")]
    assert shown["stored_descriptors"] == 1 + 2 * shown["vault_pairs"] == len(kept_names)
    pooler.crash()
    for client in clients + late[-1:]:
        assert client.rows("select 2") == ["2"]
        client.close()
