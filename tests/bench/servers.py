"""The programs that a benchmark needs: a private PostgreSQL, and poolers in front of it.

All of it lives in one temporary folder and runs as an unprivileged user. A Place ends what it
started and removes the folder; setpriv's --pdeathsig ends the programs even if we are killed.
"""

import base64
import glob
import hashlib
import hmac
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import wire

POOL_SIZE = 40
MAX_CLIENTS = 9000
DATABASE = "bench"
PASSWORD = "only for this benchmark"
# One role for each pooler, so that pg_stat_activity tells whose connections it sees.
ROLES = ("doorman", "doorman_two", "bouncer", "bouncer_session")


class Broken(Exception):
    """Something did not work, so that there is no figure."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    def __init__(self):
        self.account = "postgres" if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="doorman-bench-")
        self.started = []
        if self.account:
            user = pwd.getpwnam(self.account)
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for process in reversed(self.started):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o644)
        return self.path(name)

    def command(self, argv):
        become = [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
        return ["setpriv", "--pdeathsig", "TERM", *(become if self.account else []), "--", *argv]

    def run(self, argv):
        done = subprocess.run(
            self.command(argv), cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Broken(f"{argv[0]} failed: {done.stderr.strip()}")

    def start(self, name, argv):
        with open(self.path(name + ".log"), "wb") as log:
            process = subprocess.Popen(
                self.command(argv), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def stop(self, process, by=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(by)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def last_lines(self, name):
        with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-5:]).strip()


def wait_for_login(place, name, process, port, user, every=0.05):
    """Until `user` can log in at `port`; tried every so many seconds."""
    deadline = time.monotonic() + 15
    while True:
        try:
            wire.Connection(port, user, "postgres" if user == "postgres" else DATABASE).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"{name} does not serve: {error}\n{place.last_lines(name)}") from error
            time.sleep(every)


class Postgres:
    SETTINGS = {
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",  # three pools of 40, and 32 clients that come directly
        "shared_buffers": "32MB",  # the table has 13 MB
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "jit": "off",
    }

    def __init__(self, place):
        self.port = free_port()
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        programs = os.environ.get("PG_BINDIR") or (folders[-1] if folders else "")
        if not os.path.exists(os.path.join(programs, "initdb")):
            raise Broken("no PostgreSQL server is installed (or set PG_BINDIR)")
        data = place.path("data")
        place.run([f"{programs}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"])
        settings = {**self.SETTINGS, "port": self.port, "unix_socket_directories": place.folder}
        options = [f"--{key}={value}" for key, value in settings.items()]
        self.process = process = place.start("postgres", [f"{programs}/postgres", "-D", data, *options])
        wait_for_login(place, "postgres", process, self.port, "postgres")
        setup = self.connect("postgres")
        setup.query(f"create database {DATABASE}")
        for role in ROLES:
            setup.query(f"create role {role} login in role pg_read_all_data")
        setup.close()
        host = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        place.run(["pgbench", *host, "-i", "-q", DATABASE])

    def connect(self, database=DATABASE):
        return wire.Connection(self.port, "postgres", database)


def scram_secret(password):
    """`password` as PostgreSQL stores it, so that a login costs the pooler no key derivation."""
    salt, iterations = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (salt, hashlib.sha256(client_key).digest(), server_key)
    salt, stored_key, server_key = (base64.b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}"


def is_pgbouncer(binary):
    """True in a trial of the benchmark itself, with pgbouncer in pg_doorman's place."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(f"{binary} --version fails: {done.stderr.strip()}")
    return done.stdout.startswith("PgBouncer")


class Pooler:
    def __init__(self, place, postgres, binary, role, under=(), **settings):
        """`under`: a program that runs the pooler, and its options."""
        self.place, self.name, self.role, self.port = place, role, role, free_port()
        auth_type = settings.get("auth_type", "trust")
        workers = settings.pop("workers", 1)
        if not is_pgbouncer(binary):
            settings["workers"] = workers
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": auth_type,
            "auth_file": place.write(f"{role}.users", f'"{role}" "{scram_secret(PASSWORD)}"\n'),
            "pool_mode": "transaction",
            "default_pool_size": POOL_SIZE,
            "max_client_conn": MAX_CLIENTS,
            "log_connections": 0,
            "log_disconnections": 0,
            **settings,
        }
        text = f"[databases]\n{DATABASE} = host=127.0.0.1 port={postgres.port} dbname={DATABASE}\n"
        text += "[pgbouncer]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())
        self.process = place.start(role, [*under, binary, place.write(f"{role}.ini", text)])
        self.pid = self.process.pid  # setpriv has become the pooler
        if auth_type == "trust":
            wait_for_login(place, role, self.process, self.port, role)
        else:
            time.sleep(0.3)

    def connect(self):
        return wire.Connection(self.port, self.role, DATABASE)

    def stop(self):
        self.place.stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
