"""What an upgrade or a crash of the pooler costs its clients: pauses, losses, processor time.

The pooler of a crash is kept by the FD store of tests/integration/service.py, which speaks
systemd's protocol.
"""

import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time

import probes
from servers import DATABASE, Broken, Pooler, wait_for_login

sys.path.insert(0, os.path.join(os.path.dirname(probes.HERE), "integration"))

import service  # noqa: E402

PROBATION = 1.0
# Several statements in each transaction.
SCRIPT = """\\set a random(1, 100000)
begin;
select abalance from pgbench_accounts where aid = :a;
update pgbench_accounts set abalance = abalance + 1 where aid = :a;
commit;
"""


class Kept(Pooler):
    """A pooler whose process may be replaced: `pid` follows."""

    def __init__(self, place, postgres, binary, role, *, stored=False, **settings):
        self.store = None
        self.environment = dict(os.environ)
        if stored:
            self.store = service.FdStore(place.path(f"{role}.notify"))
            self.environment["NOTIFY_SOCKET"] = self.store.path
        self.binary, self.postgres = binary, postgres
        self.settings = {
            "pidfile": place.path(f"{role}.pid"),
            "control_socket": place.path(f"{role}.control"),
            "upgrade_probation": f"{PROBATION}",
            "admin_users": role,
            "workers": 2,
            **settings,
        }
        self.starter = place.start
        place.start, start = self.start_kept, place.start
        try:
            super().__init__(place, postgres, binary, role, **self.settings)
        finally:
            place.start = start

    def start_kept(self, name, argv):
        """As Place.start(), with what the FD store has."""
        self.argv = argv
        if self.store is None:
            return self.starter(name, argv)
        self.store.settle()
        with self.store.lock:
            kept = list(self.store.kept)
        with (service.passed(kept, argv) as (command, listen, fds),
              open(self.place_of().path(name + ".log"), "ab") as log):
            process = subprocess.Popen(
                self.place_of().command(command), stdout=log, stderr=log, start_new_session=True,
                env={**self.environment, **listen}, pass_fds=fds)
        self.place_of().started.append(process)
        return process

    def place_of(self):
        return self.starter.__self__

    def upgrade(self):
        """Seconds that it took, its probation apart, and the pause in ms that the pooler reports."""
        before = self.pid
        begun = time.monotonic()
        done = subprocess.run(
            self.place.command([self.binary, "upgrade", "--socket", self.settings["control_socket"]]),
            capture_output=True, text=True, timeout=60, check=False)
        took = time.monotonic() - begun - PROBATION
        if done.returncode != 0:
            raise Broken(f"upgrade failed: {done.stderr.strip() or done.stdout.strip()}")
        deadline = time.monotonic() + 10
        while self.pid == before:
            with open(self.settings["pidfile"], encoding="ascii") as file:
                self.pid = int(file.read() or before)
            if time.monotonic() > deadline:
                raise Broken("the pidfile names no successor")
        return took, int(re.search(r"the pause was (\d+) ms", done.stdout).group(1))

    def restart_after_kill(self):
        self.process.wait()  # without a limit: with one, it looks only every now and then
        self.process = self.start_kept(self.name, self.argv)
        self.pid = self.process.pid

    def stop(self):
        if self.process.poll() is None:
            super().stop()
        elif self.pid != self.process.pid:
            try:
                os.kill(self.pid, signal.SIGTERM)
                deadline = time.monotonic() + 10
                while os.path.exists(f"/proc/{self.pid}") and time.monotonic() < deadline:
                    time.sleep(0.05)
                if os.path.exists(f"/proc/{self.pid}"):
                    os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.store is not None:
            self.store.close()


class Load:
    """pgbench in the background: `longest` latency in ms, `count` of transactions."""

    def __init__(self, pooler, clients, seconds, mode="simple", script=None):
        self.prefix = pooler.place.path("latency")
        for path in glob.glob(self.prefix + "*"):
            os.unlink(path)
        kind = ["-f", pooler.place.write("script.sql", script)] if script else ["-S"]
        argv = ["pgbench", "-h", "127.0.0.1", "-p", str(pooler.port), "-U", pooler.role, "-n", *kind,
                "-M", mode, "-c", str(clients), "-j", "2", "-T", str(seconds), "-l",
                f"--log-prefix={self.prefix}", DATABASE]
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=probes.ENVIRONMENT,
            cwd=pooler.place.folder)

    def end(self):
        output, errors = self.process.communicate(timeout=600)
        count = re.search(r"actually processed: (\d+)", output)
        failed = re.search(r"number of failed transactions: (\d+)", output)
        if self.process.returncode != 0 or not count or not failed:
            raise Broken(f"pgbench: {errors.strip()[-300:]}")
        self.count, self.failed = int(count.group(1)), int(failed.group(1))
        self.longest = 0.0
        for path in glob.glob(self.prefix + "*"):
            with open(path, encoding="ascii") as file:
                self.longest = max([self.longest, *(int(line.split()[2]) / 1000 for line in file)])
        return self


def backends(postgres, role):
    connection = postgres.connect()
    try:
        rows = connection.query(f"select pid from pg_stat_activity where usename = '{role}'")
        return {int(row) for row in rows}
    finally:
        connection.close()


def one_upgrade(pooler, busy, seconds=4):
    """The longest pause of a busy client, the pause that the pooler reports and the time of the
    upgrade, in ms."""
    load = Load(pooler, busy, seconds)
    time.sleep(seconds / 3)
    took, pause = pooler.upgrade()
    load.end()
    if load.failed:
        raise Broken(f"{load.failed} transactions failed")
    return {"longest": load.longest, "pause": pause, "took": took * 1000}


class Copies:
    """COPY TO STDOUT, one after the other on one connection, until the end of the block."""

    def __init__(self, pooler):
        self.connection, self.count, self.failed = pooler.connect(), 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.stop.is_set():
            try:
                self.connection.query("copy (select generate_series(1, 5000)) to stdout")
                self.count += 1
            except OSError:
                self.failed += 1
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop.set()
        self.thread.join()
        self.connection.close()


def many_upgrades(pooler, postgres, count, modes):
    """`count` upgrades under load of pgbench: (transactions, failed ones, new sessions of
    PostgreSQL)."""
    transactions, failed = 0, 0
    for connection in [pooler.connect() for _ in range(8)]:
        connection.query("select 1")
        connection.close()
    before, seen = None, set()
    for mode in modes:
        load = Load(pooler, 16, int(count / len(modes) * (PROBATION + 1.0)) + 2, mode, SCRIPT)
        time.sleep(1)
        if before is None:
            before = backends(postgres, pooler.role)
        for _ in range(count // len(modes)):
            pooler.upgrade()
        seen |= backends(postgres, pooler.role)
        load.end()
        transactions, failed = transactions + load.count, failed + load.failed
    return transactions, failed, len(seen - before)


class Question:
    """One query for each of `clients`, asked by a program (ask_all.c) at the same moment."""

    def __init__(self, place, clients):
        numbers = [client.socket.fileno() for client in clients]
        program = probes.build(place, "ask_all")
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=numbers)
        self.process.stdin.write(" ".join(map(str, numbers)) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def ask(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answers(self):
        """Milliseconds from ask() until the last has answered, and how many are lost."""
        output, _ = self.process.communicate(timeout=120)
        took, lost = output.split()
        return float(took), int(lost)


def time_to_answer(place, clients):
    question = Question(place, clients)
    question.ask()
    return question.answers()


def one_crash(pooler, clients, busy):
    """kill -9 under load: ms until the process that follows serves a new client, and until all idle
    clients, who ask when it dies, have answered; how many of them are lost."""
    load = Load(pooler, busy, 30)
    question = Question(pooler.place, clients)
    time.sleep(0.7)  # a process that dies sooner after its start is blamed on the stash
    begun = time.monotonic()
    pooler.process.kill()
    load.process.terminate()  # its clients that were idle would go on
    question.ask()
    pooler.restart_after_kill()
    wait_for_login(pooler.place, pooler.name, pooler.process, pooler.port, pooler.role, every=0.005)
    ready = time.monotonic() - begun
    took, lost = question.answers()
    load.process.wait(20)
    return {"ready": ready * 1000, "answered": took, "lost": lost}
