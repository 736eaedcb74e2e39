"""A private PostgreSQL: own data folder, own port, thrown away at the end.

Users (all may do everything, password = "pw-" + name): `tester` needs no password; `plain_user`,
`md5_user` and `scram_user` are asked for one in the way their names say.
"""

import os
import pathlib
import signal
import subprocess

import psycopg

import process

USERS = {"tester": "trust", "plain_user": "password", "md5_user": "md5",
         "scram_user": "scram-sha-256"}

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 64MB
log_line_prefix = '%m [%p] %u@%d '
timezone = 'UTC'
"""


def bin_folder():
    """Where initdb is: the newest of Debian's version folders, or next to pg_config."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                     key=lambda path: int(path.parts[4]))
    if folders:
        return folders[-1].parent
    return pathlib.Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())


def password(user):
    return "pw-" + user


class Cluster:
    def __init__(self):
        self.folder = process.new_folder("pgdm-pg-")
        self.port = process.free_port()
        self.host = "127.0.0.1"
        self.log = os.path.join(self.folder, "postgresql.log")
        self._data = os.path.join(self.folder, "data")
        self._process = None
        self._initdb()
        self.start()
        self._make_users()

    def _initdb(self):
        initdb = process.start(
            [bin_folder() / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"], self.log)
        if initdb.wait() != 0:
            raise AssertionError(pathlib.Path(self.log).read_text())
        self._append("postgresql.conf", SETTINGS +
                     f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n")
        rules = ["local all all trust", "host all postgres,tester all trust",
                 "host replication postgres,tester all trust"]
        rules += [f"host all {user} all {method}" for user, method in USERS.items()]
        self._append("pg_hba.conf", "\n".join(rules) + "\n", replace=True)

    def _append(self, name, text, replace=False):
        with open(os.path.join(self._data, name), "w" if replace else "a", encoding="utf8") as file:
            file.write(text)

    def start(self):
        self._process = process.start([bin_folder() / "postgres", "-D", self._data], self.log)
        process.until(self._answers, f"PostgreSQL starts, see {self.log}", patience=30)

    def stop(self):
        """Ends the server at once, as an operator's `pg_ctl stop -m fast` does."""
        process.stop(self._process, (signal.SIGINT, signal.SIGQUIT))

    def remove(self):
        self.stop()
        process.remove_folder(self.folder)

    def _answers(self):
        if self._process.poll() is not None:
            raise AssertionError(pathlib.Path(self.log).read_text())
        try:
            self.connect("postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    def _make_users(self):
        with self.connect("postgres") as connection:
            for user, method in USERS.items():
                kind = "md5" if method == "md5" else "scram-sha-256"
                connection.execute(f"set password_encryption = '{kind}'")
                connection.execute(
                    f"create role {user} superuser login password '{password(user)}'")
            connection.execute("create function sum_of(int4, int4) returns int4 language sql "
                               "as 'select $1 + $2'")
            connection.execute("create function slow() returns int4 language plpgsql as 'begin "
                               "raise notice ''it runs''; perform pg_sleep(60); return 1; end'")

    def connect(self, user="tester", **options):
        """A psycopg connection straight to PostgreSQL, in autocommit."""
        return psycopg.connect(host=self.host, port=self.port, user=user, dbname="postgres",
                               autocommit=True, **options)

    def ask(self, query, *values):
        """The rows of one query (none if it gives no result), past the pooler."""
        with self.connect("postgres") as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def secret(self, user):
        """What PostgreSQL stores for the user's password."""
        return self.ask("select rolpassword from pg_authid where rolname = %s", user)[0][0]
