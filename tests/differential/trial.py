"""One job's PostgreSQL database, and the trial of a sequence: recorded there, replayed elsewhere."""

import os
import time

import psycopg

import wire
from explain import Explainer
from kinds import same
from record import Ended, Silent, record
from replay import Difference, Replay

FIRST_ROWS = [(2, "two"), (3, "three")]
TABLES = "create table t (k int4 primary key, v text)"
PATIENCE = float(os.environ.get("DIFFERENTIAL_PATIENCE", "30"))


class Expected:
    """What PostgreSQL said, and what it kept."""

    def __init__(self, answers, rows=(), ended=None, silent=None, variation=None):
        self.answers = answers
        self.frames = [frame for answer in answers for frame in answer.frames]
        self.due = []  # for each answer: how many frames have come for sure when it has been given
        self.rows = rows
        self.ended = ended  # the message at which PostgreSQL itself ended the connection
        self.silent = silent  # the one whose answer was expected in vain
        self.variation = variation  # of explain.py, under which that was
        frames = due = 0
        for answer in answers:
            frames += len(answer.frames)
            due = frames if answer.flushed else due
            self.due.append(due)

    @property
    def comparable(self):
        return not self.silent and (self.answers or not self.ended)

    def said(self):
        return [answer.message for answer in self.answers]

    def begins(self, got):
        return len(got) <= len(self.frames) and all(map(same, self.frames, got))

    def is_whole(self, got):
        return len(got) >= (self.due or [0])[-1]


class Database:
    """With the table of the sequences, in PostgreSQL itself."""

    def __init__(self, cluster, name, template=None):
        self.cluster = cluster
        self.name = name
        self.helper = None
        self.count = 0
        with cluster.connect("postgres") as connection:
            connection.execute(f"create database {name} template {template or 'template1'}")
        if not template:
            self.connect()
            self.helper.execute(TABLES)
            self.helper.close()  # or it could be no template

    def connect(self):
        """Waits for PostgreSQL, should it have restarted."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.helper = psycopg.connect(host=self.cluster.host, port=self.cluster.port,
                                              user="tester", dbname=self.name, autocommit=True)
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def reset(self):
        """The first rows; now and then also a fresh file, since nothing vacuums here."""
        if self.helper is None or self.helper.closed:
            self.connect()
        self.count += 1
        how = "truncate t" if self.count % 200 == 0 else "delete from t"
        values = ", ".join(f"({key}, '{text}')" for key, text in FIRST_ROWS)
        self.helper.execute(f"{how}; insert into t values {values}", prepare=False)

    def rows(self):
        return self.helper.execute("select k, v from t order by k, v", prepare=False).fetchall()

    def expect(self, sequence, variation=None):
        self.reset()
        login = {**sequence["login"], **(variation.login if variation else {})}
        try:
            with wire.connect(self.cluster, PATIENCE, database=self.name, **login) as connection:
                answers = record(connection, sequence["messages"],
                                 variation.anew if variation else ())
        except Ended as ended:
            if not ended.answers:  # it may have gone down
                self.connect()
            return Expected(ended.answers, self.rows(), ended=str(ended), variation=variation)
        except Silent as silent:
            return Expected([], silent=str(silent), variation=variation)
        return Expected(answers, self.rows(), variation=variation)


class Trial:
    """See pools.py for which pool is where."""

    def __init__(self, cluster, name):
        self.database = Database(cluster, name)
        # Where PostgreSQL is asked why. A copy: tables have the same numbers, which frames show.
        self.copy = Database(cluster, f"{name}_copy", template=name)

    def expect(self, sequence):
        return self.database.expect(sequence)

    def replay(self, sequence, expected, pool, patience=PATIENCE, cut=True):
        """The Difference through `pool`, a pools.Pool, or None."""
        self.database.reset()
        explainer = Explainer(self.copy, sequence, pool)
        replay = Replay(pool.pooler, pool.database(self.database.name), pool.size, patience,
                        explainer)
        try:
            difference = replay.run(expected, sequence["seed"], sequence["login"], cut)
        except AssertionError as problem:  # of another client
            return Difference(f"another client: {problem}", replay.got)
        if difference:
            return difference
        rows = self.database.rows()
        as_said = replay.expected
        if rows != as_said.rows:
            as_said = explainer.find(expected.said(), replay.got, rows)
            if not as_said:
                return Difference(f"the table holds {rows} instead of {replay.expected.rows}",
                                  replay.got)
        return Difference("", replay.got, as_said.variation) if as_said.variation else None
