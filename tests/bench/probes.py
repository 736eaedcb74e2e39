"""What is measured at a running pooler: processor time, memory, system calls, transactions."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from servers import DATABASE, Broken

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
# A PG* variable of the caller must not lead pgbench elsewhere.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def cpu(pid):
    """Seconds of (processor time in all, user ticks, system ticks) since the start of `pid`."""
    nanoseconds = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            nanoseconds += int(file.read().split()[0])
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return nanoseconds / 1e9, int(fields[11]) / TICK, int(fields[12]) / TICK


def family_cpu(pid):
    """Processor seconds of `pid` and its children, also of those that have ended."""
    ticks = 0
    for task in os.listdir("/proc"):
        if not task.isdigit():
            continue
        try:
            with open(f"/proc/{task}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(task) == pid:
            ticks += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


class CpuTime:
    """`with CpuTime(pid) as used:` the user and system time that passed in the block.

    The sum is exact; the kernel splits it by ticks, so the split of a short run is coarse.
    """

    def __init__(self, pid):
        self.pid, self.user, self.system = pid, 0.0, 0.0

    def __enter__(self):
        self.before = cpu(self.pid)
        return self

    def __exit__(self, *unused):
        total, user, system = (b - a for a, b in zip(self.before, cpu(self.pid)))
        self.user = total * user / (user + system) if user + system else 0.0
        self.system = total - self.user

    @property
    def total(self):
        return self.user + self.system


def proportional_memory(pid):
    """Bytes of memory of `pid` (Pss), shared pages counted by its share."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024


def run_program(argv, limit):
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=limit, env=ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{argv[0]} did not end within {limit} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Broken(f"{argv[0]}: {lines[0]}")
    return done.stdout


def pgbench(port, role, mode, clients, length):
    """Runs pgbench -S; `length` is its -T or -t. Returns (transactions, transactions/s)."""
    argv = ["pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", role, "-n", "-S", "-M", mode]
    argv += ["-c", str(clients), "-j", str(min(clients, 2)), *length, DATABASE]
    output = run_program(argv, 60)
    count = re.search(r"actually processed: (\d+)", output)
    speed = re.search(r"tps = ([\d.]+) \(without", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if not count or not speed or int(count.group(1)) == 0 or (failed and int(failed.group(1))):
        raise Broken(f"pgbench {mode}, {clients} clients: {output}")
    return int(count.group(1)), float(speed.group(1))


def sampled(pooler, seconds, work):
    """work(), and which share of the pooler's time in it was user time; None where perf fails."""
    samples = pooler.place.path("samples")
    argv = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2500", "-p", str(pooler.pid)]
    argv += ["-o", samples, "--", "sleep", str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampler:
        result = work()
        if sampler.wait() != 0:
            return result, None
    argv = ["perf", "script", "-i", samples, "-F", "ip"]
    addresses = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    in_kernel = sum(1 for address in addresses if len(address) == 16 and address[0] == "f")
    return result, 1 - in_kernel / len(addresses) if addresses else None


def load(pooler, mode, clients, seconds):
    """One run of pgbench: transactions/s, and microseconds of the pooler per transaction."""

    def work():
        return pgbench(pooler.port, pooler.role, mode, clients, ["-T", str(seconds)])

    with CpuTime(pooler.pid) as used:
        if shutil.which("perf"):
            (count, speed), share = sampled(pooler, seconds, work)
        else:
            (count, speed), share = work(), None
    user = used.user if share is None else used.total * share
    return {
        "speed": speed,
        "user": user / count * 1e6,
        "system": (used.total - user) / count * 1e6,
        "total": used.total / count * 1e6,
    }


def instructions(start, mode, clients, few, many):
    """User instructions of a transaction of a pooler that start(under) starts under valgrind."""
    totals = []
    for length in (few, many):
        with start(["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=callgrind"]) as pooler:
            pgbench(pooler.port, pooler.role, mode, clients, ["-t", str(length)])
            place = pooler.place
        with open(place.path("callgrind"), encoding="ascii") as file:
            totals.append(int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1)))
    return (totals[1] - totals[0]) / (many - few) / clients


def logins(pooler, program, seconds, password=""):
    """Logins/s from 8 threads, and microseconds of the pooler per login."""
    argv = [program, str(pooler.port), pooler.role, DATABASE, "8", str(seconds), password]
    with CpuTime(pooler.pid) as used:
        count, elapsed = (float(word) for word in run_program(argv, seconds + 30).split())
    return {
        "speed": count / elapsed,
        "total": used.total / count * 1e6,
        "busy": used.total / elapsed * 100,
    }


def build(place, name, *libraries):
    """The program of the source `name`.c beside this file."""
    program = place.path(name)
    if not os.path.exists(program):
        source = os.path.join(HERE, name + ".c")
        run_program(["cc", "-std=gnu11", "-O2", "-o", program, source, *libraries], 60)
    return program


def watch(argv, until_attached, work):
    """Runs `work` while the program argv looks on: strace or perf, which end by SIGINT."""
    watcher = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until_attached(watcher)
        return work()
    finally:
        if watcher.poll() is None:
            watcher.send_signal(signal.SIGINT)
        try:
            watcher.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            watcher.kill()
            watcher.communicate()


def count_calls(pooler, work):
    """System calls of the pooler by name during work(), and what work() returned."""

    def attached(watcher):
        line = watcher.stderr.readline()
        if "attached" not in line:
            raise Broken(f"strace cannot watch the pooler: {line.strip()}")

    report = pooler.place.path("strace.out")
    argv = ["strace", "-c", "-f", "-p", str(pooler.pid), "-o", report]
    result = watch(argv, attached, work)
    with open(report, encoding="ascii") as file:
        lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", file.read(), re.M)
    return {name: int(calls) for calls, name in lines if name != "total"}, result


def count_user_work(pooler, work):
    """Processor cycles and instructions in user mode during work(), and what work() returned."""
    report = pooler.place.path("perf.out")
    argv = ["perf", "stat", "-x,", "-e", "cycles:u,instructions:u", "-o", report]
    argv += ["-p", str(pooler.pid)]
    result = watch(argv, lambda watcher: time.sleep(0.3), work)
    with open(report, encoding="ascii") as file:
        lines = re.findall(r"^(\d+),,(\w+):u,", file.read(), re.M)
    if len(lines) != 2:
        raise Broken("perf counts no cycles here")
    return {name: int(value) for value, name in lines}, result


def per_transaction(counter, pooler, mode, clients, few, many):
    """Counts per transaction: those of a long run less those of a short one, logins and all."""
    counts = []
    for number in (few, many):

        def work(length=number):
            return pgbench(pooler.port, pooler.role, mode, clients, ["-t", str(length)])[0]

        counts.append(counter(pooler, work))
    (short, short_count), (long, long_count) = counts
    names = set(short) | set(long)
    transactions = long_count - short_count
    return {name: (long.get(name, 0) - short.get(name, 0)) / transactions for name in names}


def idle_memory(pooler, count):
    """Bytes per idle client: after its login, and after one query of each."""
    held = [pooler.connect() for _ in range(20)]
    try:
        for connection in held:
            connection.query("select 1")
        before = proportional_memory(pooler.pid)
        clients = [pooler.connect() for _ in range(count)]
        held += clients
        time.sleep(0.5)
        logged_in = proportional_memory(pooler.pid)
        for connection in clients:
            connection.query("select 1")
        time.sleep(0.5)
        queried = proportional_memory(pooler.pid)
    except OSError as error:
        raise Broken(f"{pooler.name} with {len(held)} idle clients: {error}") from error
    finally:
        for connection in held:
            connection.close()
    return {"logged_in": (logged_in - before) / count, "queried": (queried - before) / count}


def busy_threads(pid, work):
    """How many threads of `pid` had a good share of the processor time of work()."""

    def times():
        found = {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                found[task] = int(file.read().split()[0])
        return found

    before = times()
    work()
    used = [after - before.get(task, 0) for task, after in times().items()]
    return sum(1 for each in used if each > sum(used) / 5)


def pairs_of_clients(pooler):
    """Two pairs of clients of a pooler with two workers: one of different workers, one of the same.
    Of three clients two are on one worker; which ones, the processor time of its threads says."""
    clients = [pooler.connect() for _ in range(3)]
    pairs = {}
    for pair in ((clients[0], clients[1]), (clients[0], clients[2]), (clients[1], clients[2])):
        threads = busy_threads(pooler.pid, lambda: ask_in_turns(pair, 200))
        pairs.setdefault({1: "stays", 2: "crosses"}.get(threads), pair)
    if not {"stays", "crosses"} <= set(pairs):
        raise Broken("three clients on two workers are not on both of them")
    return pairs


def ask_in_turns(pair, times):
    for connection in pair * times:
        connection.query("select 1")


def in_turns(pooler, pair, seconds):
    """Two clients that use the pool's only server by turns, one query at a time: microseconds of the
    pooler, and of its clients' waiting, per transaction."""
    count, start = 0, time.monotonic()
    with CpuTime(pooler.pid) as used:
        while time.monotonic() - start < seconds:
            ask_in_turns(pair, 10)
            count += 20
    elapsed = time.monotonic() - start
    return {"total": used.total / count * 1e6, "waiting": elapsed / count * 1e6}


OWN_WORK = 2000


def own_work(pooler, clients, seconds):
    """Transactions/s of work that is nearly all the pooler's: it answers each Parse and Close of a
    statement that its server has, and PostgreSQL sees no more than a Sync."""

    def message(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    def transaction(number):
        parse = message(b"P", b"own\0select %d\0\0\0" % number)
        return (parse + message(b"C", b"Sown\0")) * OWN_WORK + message(b"S", b"")

    answer = (5 + 5) * OWN_WORK + 6
    counts = [0] * clients
    end = time.monotonic() + seconds

    def work(number):
        connection = pooler.connect()
        connection.socket.settimeout(None)  # so that MSG_WAITALL waits
        data = transaction(number)
        while time.monotonic() < end:
            connection.socket.sendall(data)
            if len(connection.socket.recv(answer, socket.MSG_WAITALL)) < answer:
                break
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if min(counts) == 0:
        raise Broken("a client of the pooler's own work got no answer")
    return sum(counts) / seconds


def most_servers(postgres, pooler, mode, clients, seconds):
    """The most connections of the pooler that PostgreSQL had under load, and how many looks."""
    seen, done = [], threading.Event()

    def look():
        connection = postgres.connect()
        query = f"select count(*) from pg_stat_activity where usename = '{pooler.role}'"
        while not done.wait(0.02):
            seen.append(int(connection.query(query)[0]))
        connection.close()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        pgbench(pooler.port, pooler.role, mode, clients, ["-T", str(seconds)])
    finally:
        done.set()
        looker.join()
    return max(seen, default=0), len(seen)
