"""pg_doorman as a service: its units, its configuration, its journal, inside the private systemd."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import psycopg

import process

UNIT = "pg_doorman.service"
SOCKET = "pg_doorman.socket"
PREFIXES = ("/usr/local", "/usr")
CONFIG = pathlib.Path("/etc/pg_doorman/pg_doorman.ini")
USERS = pathlib.Path("/etc/pg_doorman/userlist.txt")
DROP_INS = pathlib.Path("/run/systemd/system/pg_doorman.service.d")
PORT = 6432
SOCKET_FOLDER = "/run/postgresql"

DEFAULTS = {
    "listen_addr": "*",
    "listen_port": PORT,
    "unix_socket_dir": SOCKET_FOLDER,
    "auth_type": "trust",
    "auth_file": USERS,
    "admin_users": "admin",
    "pool_mode": "transaction",
    "default_pool_size": "5",
    "max_client_conn": "2000",
}


def run(*command, timeout=60, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def systemctl(*arguments, **options):
    return run("systemctl", *arguments, **options)


def installed(path):
    for prefix in PREFIXES:
        candidate = pathlib.Path(prefix, path)
        if candidate.exists():
            return candidate
    raise RuntimeError(f"{path} is not installed")


class Service:
    """The service of one test. Everything that the test has changed is undone by reset()."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.program = installed("sbin/pg_doorman")
        self.original = self.program.with_name("pg_doorman.original")
        if not self.original.exists():
            shutil.copy2(self.program, self.original)
        self._cursor = None

    # ---- Its state ----------------------------------------------------------------------------

    def reset(self):
        systemctl("stop", SOCKET, UNIT, check=False)
        systemctl("reset-failed", SOCKET, UNIT, check=False)
        shutil.rmtree(DROP_INS, ignore_errors=True)
        shutil.rmtree("/run/pg_doorman", ignore_errors=True)
        self.install(self.original)
        libraries = os.environ.get("LIBRARIES")
        self.drop_in("test", "[Service]\nTimeoutStartSec=30s\n" +
                     (f"Environment=LD_LIBRARY_PATH={libraries}\n" if libraries else ""))
        self.configure()
        self.mark()

    def drop_in(self, name, text):
        DROP_INS.mkdir(parents=True, exist_ok=True)
        (DROP_INS / f"{name}.conf").write_text(text, encoding="utf8")
        systemctl("daemon-reload")

    def configure(self, databases=None, **settings):
        server = f"host={self.cluster.host} port={self.cluster.port} dbname=postgres"
        lines = ["[databases]"]
        lines += [f"{name} = {server} {rest}"
                  for name, rest in (databases or {"postgres": ""}).items()]
        lines.append("[pg_doorman]")
        lines += [f"{key} = {value}" for key, value in {**DEFAULTS, **settings}.items()
                  if value is not None]
        CONFIG.parent.mkdir(mode=0o755, exist_ok=True)
        CONFIG.write_text("\n".join(lines) + "\n", encoding="utf8")
        USERS.write_text('"tester" ""\n"admin" ""\n', encoding="utf8")
        for path in (CONFIG, USERS):
            path.chmod(0o644)

    def start(self, with_socket=True):
        if with_socket:
            systemctl("start", SOCKET)
        systemctl("start", UNIT)
        return self

    def install(self, source):
        """As packages do it: the new file gets the name, the old one lives on while it runs."""
        new = self.program.with_name("pg_doorman.new")
        shutil.copy2(source, new)
        new.chmod(0o755)
        new.rename(self.program)

    def install_script(self, text):
        new = self.program.with_name("pg_doorman.new")
        new.write_text(text, encoding="utf8")
        new.chmod(0o755)
        new.rename(self.program)

    # ---- What systemd and the journal say -----------------------------------------------------

    def show(self, name, unit=UNIT):
        return systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def pid(self):
        return int(self.show("MainPID"))

    def state(self):
        return self.show("ActiveState") + "/" + self.show("SubState")

    def mark(self):
        """journal() begins here."""
        run("journalctl", "--sync", check=False)
        shown = run("journalctl", "-n", "0", "--show-cursor", "-q").stdout
        found = re.search(r"cursor: (\S+)", shown)
        self._cursor = found.group(1) if found else None

    def journal(self, unit=UNIT):
        command = ["journalctl", "-q", "-o", "cat", "-u", unit]
        if self._cursor:
            command += ["--after-cursor", self._cursor]
        return run(*command).stdout

    def until_journal(self, pattern, patience=30):
        process.until(lambda: re.search(pattern, self.journal()),
                      f"the journal says {pattern}", patience, pause=0.1)

    def until_running(self, patience=30):
        process.until(lambda: self.state() == "active/running", "the unit runs", patience, 0.05)

    def until_replaced(self, pid, patience=30):
        """Waits until another process than `pid` serves, and returns its number."""
        process.until(lambda: self.pid() not in (0, pid) and self.state() == "active/running",
                      "systemd has started it again", patience, 0.02)
        return self.pid()

    def until_proven(self):
        """Three processes that die soon after they have taken over connections are taken as a sign
        that these connections are the reason, and they are given up: so no test kills too early."""
        def has_lived():
            began = int(self.show("ExecMainStartTimestampMonotonic")) / 1e6
            return time.clock_gettime(time.CLOCK_MONOTONIC) - began > 1.5

        process.until(has_lived, "the process has lived for a while", 30, 0.1)

    def kill(self, number=signal.SIGKILL):
        """Kills the main process, and returns the number of the one that is started in its place."""
        self.until_proven()
        pid = self.pid()
        os.kill(pid, number)
        return self.until_replaced(pid)

    # ---- Clients ------------------------------------------------------------------------------

    def connect(self, user="tester", host="127.0.0.1", dbname="postgres", **options):
        return psycopg.connect(host=host, port=PORT, user=user, dbname=dbname, autocommit=True,
                               connect_timeout=30, **options)

    def console(self, command):
        """Rows of a console command, as dictionaries."""
        with psycopg.connect(host="127.0.0.1", port=PORT, user="admin", dbname="pgbouncer",
                             autocommit=True, connect_timeout=30,
                             cursor_factory=psycopg.ClientCursor,
                             row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []


def cpu_of_pid1():
    """Seconds of CPU that the private systemd has used."""
    return int(pathlib.Path("/proc/1/schedstat").read_text(encoding="utf8").split()[0]) / 1e9
