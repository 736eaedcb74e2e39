"""A service manager for one pooler, as far as its FD store goes: it keeps what the pooler stores
through its notify socket, and passes it to the next process. For tests of what outlives a process,
in a fraction of the time that a real systemd takes.

Protocol: sd_notify(3), sd_listen_fds(3).
"""

import array
import contextlib
import fcntl
import os
import signal
import socket
import threading

import process
from pooler import Pooler


@contextlib.contextmanager
def passed(kept, command):
    """`command` under a shell that gives it the descriptors in `kept` by the numbers that systemd
    would, its environment besides, and which descriptors the shell has to be passed."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for _, fd in kept]
    # One at a time: while it undoes several, bash keeps descriptors of its own from 10 on.
    moves = "".join(f"exec {3 + place}<&{fd} {fd}<&-; " for place, fd in enumerate(high))
    names = ":".join(name for name, _ in kept)
    environment = {"LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names} if high else {}
    script = moves + 'LISTEN_PID=$$ exec "$0" "$@"'
    try:
        yield ["bash", "-c", script, *command], environment, high
    finally:
        for fd in high:
            os.close(fd)


class FdStore:
    """Keeps descriptors by name, newest first as systemd gives them."""

    def __init__(self, path):
        self.path = path
        self.kept = []  # (name, descriptor)
        self.ready = threading.Event()
        self.settled = threading.Event()
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
            except OSError:
                return
            fds = array.array("i")
            for level, kind, payload in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
            message = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            if not data:
                return
            with self.lock:
                self._take(message, list(fds))

    def _take(self, message, fds):
        name = message.get("FDNAME", "stored")
        if message.get("FDSTORE") == "1":
            for fd in fds:
                self.kept.insert(0, (name, fd))
            return
        if message.get("FDSTOREREMOVE") == "1":
            for kept, fd in self.kept:
                if kept == name:
                    os.close(fd)
            self.kept = [each for each in self.kept if each[0] != name]
        if message.get("SETTLE") == "1":
            self.settled.set()
        if message.get("READY") == "1":
            self.ready.set()
        for fd in fds:
            os.close(fd)  # BARRIER=1: this is the answer

    def settle(self):
        """Waits until all that was sent has been taken: systemd, too, looks at messages before it
        looks at who has died."""
        self.settled.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"SETTLE=1", self.path)
        assert self.settled.wait(20)

    def names(self):
        with self.lock:
            return sorted(name for name, _ in self.kept)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):  # its folder may have gone first
            os.unlink(self.path)
        for _, fd in self.kept:
            os.close(fd)
        self.kept = []


class KeptPooler(Pooler):
    """A pooler whose descriptors outlive it. start() is the first start, restart() the next one."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.store = FdStore(os.path.join(self.folder, "notify"))

    def start(self):
        self.port = process.free_port()
        self.write()
        return self.restart()

    def restart(self):
        self.store.settle()
        self.store.ready.clear()
        with self.store.lock:
            kept = list(self.store.kept)
        with passed(kept, [self.program, *self.arguments, self.ini]) as (command, listen, fds):
            self.process = process.start(
                command, self.log, env={**os.environ, "NOTIFY_SOCKET": self.store.path, **listen},
                cwd=self.folder, files=self.files, pass_fds=fds)
        process.until(lambda: self.store.ready.is_set() or self.process.poll() is not None,
                      "the pooler is ready", patience=60)
        assert self.store.ready.is_set(), f"the pooler ended:\n{self.read_log()}"
        return self

    def kill(self, number=signal.SIGKILL):
        """Ends the process without asking it, and waits until it is gone."""
        self.process.send_signal(number)
        self.process.wait(20)

    def crash(self, number=signal.SIGKILL):
        self.kill(number)
        return self.restart()

    def stop(self, expected=(0,)):
        try:
            super().stop(expected)
        finally:
            self.store.close()
