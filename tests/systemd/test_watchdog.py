"""A worker that hangs: the keep-alives end, and systemd starts the service again."""

import ctypes
import os
import pathlib
import time

import process
from service import UNIT, systemctl

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WALL = 0x40000000


def threads(pid):
    return sorted(int(entry.name) for entry in pathlib.Path(f"/proc/{pid}/task").iterdir())


def worker_threads(pid):
    """Those that carry traffic: they have no name of their own."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    names = {thread: (tasks / str(thread) / "comm").read_text(encoding="utf8").strip()
             for thread in threads(pid) if thread != pid}
    return [thread for thread, name in names.items() if name.startswith(("pg_doorman", "worker"))]


def freeze(thread):
    """Stops one thread, and not its process, until that is killed."""
    assert LIBC.ptrace(PTRACE_SEIZE, thread, None, None) == 0, ctypes.get_errno()
    assert LIBC.ptrace(PTRACE_INTERRUPT, thread, None, None) == 0, ctypes.get_errno()


def bury(thread):
    """Who traces a thread must take note of its end, else the process stays a zombie."""
    while True:
        try:
            _, status = os.waitpid(thread, WALL)
        except ChildProcessError:
            return
        if not os.WIFSTOPPED(status):
            return


def test_keep_alives_go_on_while_it_works(service):
    service.drop_in("watchdog", "[Service]\nWatchdogSec=2s\n")
    service.start()
    pid = service.pid()
    first = service.show("WatchdogTimestampMonotonic")
    process.until(lambda: service.show("WatchdogTimestampMonotonic") != first,
                  "a keep-alive comes", 30)
    time.sleep(4)  # twice the limit
    assert service.pid() == pid and service.show("NRestarts") == "0"


def test_a_worker_that_hangs_ends_the_process(service):
    service.configure(workers=2)
    service.drop_in("watchdog", "[Service]\nWatchdogSec=2s\nLimitCORE=0\n")
    service.start()
    pid = service.pid()
    workers = worker_threads(pid)
    assert len(workers) == 2
    freeze(workers[1])
    service.until_journal("Watchdog timeout", 60)
    bury(workers[1])
    service.until_replaced(pid, 60)
    assert "hangs: no keep-alive" in service.journal()
    with service.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert systemctl("is-active", UNIT).stdout.strip() == "active"
