"""One job's PostgreSQL database, and the trial of a sequence: recorded there, replayed elsewhere."""

import os
import time

import psycopg

import wire
from record import Ended, Silent, record
from replay import Difference, Replay

FIRST_ROWS = [(2, "two"), (3, "three")]
TABLES = "create table t (k int4 primary key, v text)"
PATIENCE = float(os.environ.get("DIFFERENTIAL_PATIENCE", "30"))


class Expected:
    """What PostgreSQL said, and what it kept."""

    def __init__(self, answers, rows, ended=None, silent=None):
        self.answers = answers
        self.rows = rows
        self.ended = ended  # the message at which PostgreSQL itself ended the connection
        self.silent = silent  # the one whose answer was expected in vain


class Trial:
    """`poolers` are pooler.Pooler by name; see pools.py for which pool is where."""

    def __init__(self, cluster, database):
        self.cluster = cluster
        self.database = database
        self.helper = None
        self.count = 0
        with cluster.connect("postgres") as connection:
            connection.execute(f"create database {database}")
        self.connect_helper()
        self.helper.execute(TABLES)

    def connect_helper(self):
        """Waits for PostgreSQL, should it have restarted."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.helper = psycopg.connect(
                    host=self.cluster.host, port=self.cluster.port, user="tester",
                    dbname=self.database, autocommit=True)
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def reset(self):
        """The first rows; now and then also a fresh file, since nothing vacuums here."""
        self.count += 1
        how = "truncate t" if self.count % 200 == 0 else "delete from t"
        values = ", ".join(f"({key}, '{text}')" for key, text in FIRST_ROWS)
        self.helper.execute(f"{how}; insert into t values {values}", prepare=False)

    def rows(self):
        return self.helper.execute("select k, v from t order by k, v", prepare=False).fetchall()

    def expect(self, sequence):
        self.reset()
        try:
            with wire.connect(self.cluster, PATIENCE, database=self.database,
                              **sequence["login"]) as connection:
                answers = record(connection, sequence["messages"])
        except Ended as ended:
            self.connect_helper()
            return Expected([], [], ended=str(ended))
        except Silent as silent:
            return Expected([], [], silent=str(silent))
        return Expected(answers, self.rows())

    def replay(self, sequence, expected, pool, patience=PATIENCE, cut=True):
        """The Difference through `pool`, a pools.Pool, or None."""
        self.reset()
        replay = Replay(pool.pooler, pool.database(self.database), pool.size, patience)
        try:
            difference = replay.run(expected.answers, sequence["seed"], sequence["login"], cut)
        except AssertionError as problem:  # of another client
            return Difference(f"another client: {problem}", replay.got)
        if difference:
            return difference
        rows = self.rows()
        if rows != expected.rows:
            return Difference(f"the table holds {rows} instead of {expected.rows}", replay.got)
        return None
