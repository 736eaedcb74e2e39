"""Child processes of the tests: who they run as, where they live, which ports they get.

Not for anything that speaks PostgreSQL: see cluster.py, pooler.py and wire.py.
"""

import ctypes
import os
import pwd
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def unprivileged():
    """The (uid, gid) that servers run as: PostgreSQL and the pooler both refuse to be root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            continue
    raise RuntimeError("no unprivileged user: install postgresql-15 or add a user 'nobody'")


def user_name():
    return pwd.getpwuid(unprivileged()[0]).pw_name


def new_folder(prefix):
    """A folder that the unprivileged user owns. Short, since unix socket paths end at 107 bytes."""
    folder = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
    os.chown(folder, *unprivileged())
    return folder


def remove_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)


def free_port():
    """A port below the range from which the kernel takes the ports of outgoing connections."""
    while True:
        port = random.randint(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """In a child: it gets SIGQUIT when the test is killed (a time-out, say), so that nothing stays.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGQUIT), 0, 0, 0)


def start(command, log, env=None, cwd="/", files=None, pass_fds=()):
    """Starts `command` as the unprivileged user, with its output in the file `log`, and with at
    most `files` open ones, and with the descriptors `pass_fds` besides."""
    def in_child():
        end_with_parent()
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    uid, gid = unprivileged()
    options = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with open(log, "ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                env=env, cwd=cwd, start_new_session=True, pass_fds=pass_fds,
                                preexec_fn=in_child, **options)


class Stranger:
    """A process that is no child of ours, with as much of Popen as stop() and the pooler need."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None
        self.pidfd = os.pidfd_open(pid)

    def _is_over(self, patience):
        waited = select.poll()  # select() takes no descriptor above 1023
        waited.register(self.pidfd, select.POLLIN)
        return bool(waited.poll(1000 * patience))

    def poll(self):
        if self.returncode is None and self._is_over(0):
            self.returncode = 0  # nobody but its parent learns more
            os.close(self.pidfd)
        return self.returncode

    def wait(self, patience):
        if self.returncode is None and not self._is_over(patience):
            raise subprocess.TimeoutExpired("a process that was started by another one", patience)
        return self.poll()

    def send_signal(self, number):
        if self.returncode is None:
            signal.pidfd_send_signal(self.pidfd, number)


def stop(process, signals=(signal.SIGTERM,), patience=15.0):
    """Sends each signal in turn until the process ends, SIGKILL last. Returns its exit status."""
    for number in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    return process.returncode


def until(condition, what, patience=10.0, pause=0.02):
    """Waits until `condition()` is true and returns what it returned; fails with `what` else."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain: {what}")
        time.sleep(pause)
