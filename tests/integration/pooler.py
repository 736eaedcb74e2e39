"""The pooler under test: one process with its own ini file, user list, port and log.

The binary is $PG_DOORMAN. Keys are those that PgBouncer knows too, so that a test can be tried
with either. $PG_DOORMAN_TEST_WORKERS is the number of workers, where a test does not say one.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import psycopg

import process

DEFAULTS = {
    "listen_addr": "127.0.0.1",
    "auth_type": "trust",
    "admin_users": "admin",
    "pool_mode": "transaction",
    "default_pool_size": "3",
    "max_client_conn": "200",
    "ignore_startup_parameters": "extra_float_digits",
    "server_login_retry": "1",
    "unix_socket_dir": "",
}

# What must never stand in the log of a pooler that is well.
TROUBLE = re.compile(r"CHECK failed|Sanitizer|runtime error:|terminate called|Assertion")


def binary():
    path = os.environ.get("PG_DOORMAN") or shutil.which("pg_doorman")
    if not path or not os.access(path, os.X_OK):
        raise RuntimeError("set PG_DOORMAN to the path of the binary under test")
    return path


def replace(path, text):
    """In one step: a reload that is under way reads the old file or the new one."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf8")
    if path.exists():
        shutil.copymode(path, new)
    os.replace(new, path)


class Pooler:
    """Written with `databases` as {name: connection string} ({} = one called postgres), `settings`
    over DEFAULTS (None removes a key), and `users` as {name: secret}. `files`: RLIMIT_NOFILE."""

    def __init__(self, cluster, settings=None, databases=None, users=None, sections="",
                 arguments=(), files=None, wrapper=()):
        self.cluster = cluster
        self.host = "127.0.0.1"
        self.port = 0
        self.folder = process.new_folder("pgdm-")
        self.ini = os.path.join(self.folder, "pg_doorman.ini")
        self.log = os.path.join(self.folder, "pg_doorman.log")
        self.settings = {**DEFAULTS, "auth_file": os.path.join(self.folder, "userlist.txt"),
                         **(settings or {})}
        self.users = users or {name: "" for name in ("tester", "admin", "postgres", "plain_user",
                                                     "md5_user", "scram_user")}
        self.databases = databases or {"postgres": ""}
        self.sections = sections
        self.arguments = arguments
        self.wrapper = wrapper  # a program that runs the pooler
        self.files = files
        self.process = None
        self.predecessors = []
        # The unprivileged user may not reach the build folder (a clone in /root, say).
        self.program = os.path.join(self.folder, "pg_doorman")
        shutil.copy(binary(), self.program)
        os.chmod(self.program, 0o755)

    def write(self):
        """Writes the files anew from the members."""
        server = f"host={self.cluster.host} port={self.cluster.port} dbname=postgres "
        lines = ["[databases]"]
        lines += [f"{name} = {text if 'host=' in text else server + text}"
                  for name, text in self.databases.items()]
        lines += ["[pgbouncer]", f"listen_port = {self.port}"]
        lines += [f"{key} = {value}" for key, value in self.settings.items() if value is not None]
        if "PG_DOORMAN_TEST_WORKERS" in os.environ and "workers" not in self.settings:
            lines.append("workers = " + os.environ["PG_DOORMAN_TEST_WORKERS"])
        self.write_raw("\n".join(lines) + "\n" + self.sections)
        quoted = ((name, secret.replace('"', '""')) for name, secret in self.users.items())
        replace(pathlib.Path(self.folder, "userlist.txt"),
                "".join(f'"{name}" "{secret}"\n' for name, secret in quoted))

    def write_raw(self, text):
        replace(pathlib.Path(self.ini), text)

    def install(self, source, **environment):
        """As packages do it: the new file gets the name, the old one lives on while it runs.
        `environment`: what the program is to have besides."""
        new = self.program + ".new"
        shutil.copy(source, new)
        os.chmod(new, 0o755)
        if not environment:
            os.rename(new, self.program)
            return
        os.rename(new, self.program + ".itself")
        words = " ".join(f"{name}='{value}'" for name, value in environment.items())
        pathlib.Path(new).write_text(f'#!/bin/sh\n{words} exec {self.program}.itself "$@"\n',
                                     encoding="utf8")
        os.chmod(new, 0o755)
        os.rename(new, self.program)

    def start(self):
        for attempt in range(5):
            self.port = process.free_port()
            self.write()
            self.process = process.start([*self.wrapper, self.program, *self.arguments, self.ini], self.log,
                                         cwd=self.folder, files=self.files)
            if process.until(self.listens_or_ended, f"the pooler listens:\n{self.read_log()}",
                             patience=20) == "listens":
                return self
            if "in use" not in self.read_log() or attempt == 4:
                break
        raise AssertionError(f"the pooler ended with {self.process.returncode}:\n{self.read_log()}")

    def listens_or_ended(self):
        if self.process.poll() is not None:
            return "ended"
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
            return "listens"
        except OSError:
            return None

    def read_log(self):
        return pathlib.Path(self.log).read_text(encoding="utf8", errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def upgrade(self, expected=0):
        """Runs `pg_doorman upgrade` and follows the successor. Returns what it said."""
        before = self.process
        done = subprocess.run([self.program, "upgrade", self.ini], capture_output=True, text=True,
                              timeout=60, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == expected, f"{said}\n{self.read_log()[-3000:]}"
        if expected == 0:
            self.follow(before)
        return said

    def follow(self, before):
        """The process that the pidfile names is the pooler now."""
        path = pathlib.Path(self.settings["pidfile"])

        def successor():
            pid = int(path.read_text(encoding="utf8") or 0)
            return pid if pid not in (0, before.pid) else None

        pid = process.until(successor, "the pidfile names a successor", patience=30)
        self.process = process.Stranger(pid)
        if isinstance(before, subprocess.Popen):
            self.predecessors.append(before)

    def reload(self):
        self.write()
        with self.console() as console:
            console.execute("RELOAD")

    def stop(self, expected=(0,)):
        """Ends the pooler and fails if it was not well: exit status, log, forced kill."""
        status = process.stop(self.process, (signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT))
        if os.path.basename(binary()) == "pgbouncer":
            expected += (1,)  # its exit status after SIGTERM up to 1.22
        text = self.read_log()
        process.remove_folder(self.folder)
        tail = "\n".join(text.splitlines()[-40:])
        where = TROUBLE.search(text)
        assert not where, ("trouble in the pooler's log:\n" +
                           text[max(0, where.start() - 500):where.end() + 3000])
        assert status in expected, f"the pooler ended with {status}:\n{tail}"

    def connect(self, user="tester", dbname="postgres", **options):
        """A psycopg connection through the pooler, in autocommit unless told otherwise."""
        options = {"autocommit": True, "connect_timeout": 10, "prepare_threshold": None, **options}
        return psycopg.connect(host=self.host, port=self.port, user=user, dbname=dbname, **options)

    def console(self):
        """The admin console. It has only the simple protocol, hence the client-side cursor."""
        return psycopg.connect(host=self.host, port=self.port, user="admin", dbname="pgbouncer",
                               autocommit=True, cursor_factory=psycopg.ClientCursor)

    def show(self, what):
        """SHOW `what` as a list of dictionaries."""
        with self.console() as console:
            cursor = console.execute(f"SHOW {what}")
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def pool(self, database="postgres", user="tester"):
        """The line of SHOW POOLS, or zeros where there is no such pool."""
        for row in self.show("POOLS"):
            if row["database"] == database and row["user"] == user:
                return row
        return {"cl_active": 0, "cl_waiting": 0, "sv_active": 0, "sv_idle": 0, "sv_used": 0,
                "sv_login": 0}

    def wait_for_rest(self, database="postgres", user="tester"):
        """Waits until no client of the pool holds or wants a server."""
        def at_rest():
            pool = self.pool(database, user)
            return (int(pool["cl_active"]) == 0 and int(pool["cl_waiting"]) == 0 and
                    int(pool["sv_active"]) == 0)
        process.until(at_rest, f"pool {database}/{user} comes to rest")

    def wait_until_nothing_is_left(self):
        """Waits until all counters of sessions are at zero, but for the console's own client."""
        def counters():
            lists = {row["list"]: int(row["items"]) for row in self.show("LISTS")}
            clients = {row["name"]: int(row["used"]) for row in self.show("MEM")}["client"]
            pools = [row for row in self.show("POOLS") if row["database"] != "pgbouncer"]
            databases = [row for row in self.show("DATABASES") if row["name"] != "pgbouncer"]

            def total(rows, *names):
                return sum(int(row[name]) for row in rows for name in names)

            busy = [name for name in pools[0] if name.startswith(("cl_", "sv_"))] if pools else []
            return {"clients": lists["used_clients"] - 1, "logins": lists["login_clients"],
                    "client memory": clients - 1,
                    "busy": total(pools, *busy) - total(pools, "sv_idle") if pools else 0,
                    "clients of databases": total(databases, "current_client_connections"),
                    "servers not idle": lists["used_servers"] - total(pools, "sv_idle"),
                    "slots of no server": total(databases, "current_connections") -
                                          lists["used_servers"]}

        process.until(lambda: not any(counters().values()), f"nothing is left: {counters()}")
