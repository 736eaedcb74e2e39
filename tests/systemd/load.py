"""Clients that work all the time, and a checker that counts every transaction they have sent.

Over upgrades and restarts what is committed is exactly what was acknowledged. When a process is
killed a transaction may be in doubt: the client got 08007, or lost its connection before the answer.
"""

import contextlib
import dataclasses
import itertools
import threading
import time

import psycopg

UNKNOWN = "08007"  # transaction_resolution_unknown


@dataclasses.dataclass
class Tally:
    acknowledged: set = dataclasses.field(default_factory=set)
    in_doubt: set = dataclasses.field(default_factory=set)
    failed: list = dataclasses.field(default_factory=list)  # what was certainly not committed
    reconnects: int = 0
    longest: float = 0.0  # seconds that a client has waited for an answer


class Load:
    """`with Load(service, clients=8) as load:` runs until the end of the block."""

    def __init__(self, service, clients=6, table="sent"):
        self.service = service
        self.table = table
        self.numbers = itertools.count(1)
        self.stop = threading.Event()
        self.tallies = [Tally() for _ in range(clients)]
        self.problems = []
        self.threads = [threading.Thread(target=self._run, args=(index, tally), daemon=True)
                        for index, tally in enumerate(self.tallies)]
        self.gates = [threading.Event() for _ in self.threads]
        service.cluster.ask(f"drop table if exists {table}")
        service.cluster.ask(f"create table {table} (id bigint primary key, client int)")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.until_all_have_worked()
        return self

    def __exit__(self, *failure):
        self.stop.set()
        for thread in self.threads:
            thread.join(90)
        if failure[0] is None:
            assert not any(thread.is_alive() for thread in self.threads), "a client hangs"
            assert not self.problems, self.problems

    def until_all_have_worked(self, patience=60):
        """Each client has had another answer since this was called."""
        for gate in self.gates:
            gate.clear()
        end = time.monotonic() + patience
        for index, gate in enumerate(self.gates):
            assert gate.wait(max(0.0, end - time.monotonic())), \
                f"client {index} gets no answer: {self.problems}"

    # ---- One client ---------------------------------------------------------------------------

    def _run(self, index, tally):
        connection = None
        works = [self._single, self._block, self._prepared, self._copy]
        try:
            for turn in itertools.count(index):
                if self.stop.is_set():
                    break
                number = next(self.numbers)
                began = time.monotonic()
                try:
                    if connection is None:
                        connection = self.service.connect(user="tester")
                    works[turn % len(works)](connection, number, index)
                    tally.acknowledged.add(number)
                    tally.longest = max(tally.longest, time.monotonic() - began)
                    self.gates[index].set()
                except psycopg.Error as problem:
                    broken = connection is None or connection.closed or connection.broken
                    if broken or problem.sqlstate == UNKNOWN:
                        tally.in_doubt.add(number)
                    tally.failed.append(f"{problem.sqlstate}: {problem}")
                    if broken:
                        tally.reconnects += 1
                        with contextlib.suppress(Exception):
                            connection.close()
                        connection = None
                    else:
                        connection.rollback()
        except Exception as problem:  # noqa: BLE001: whatever it is, the test has to know
            self.problems.append(repr(problem))
        finally:
            if connection is not None:
                connection.close()

    def _single(self, connection, number, index):
        connection.execute(f"insert into {self.table} values ({number}, {index})")

    def _block(self, connection, number, index):
        with connection.transaction():
            connection.execute(f"insert into {self.table} values ({number}, {index})")
            assert connection.execute("select 1").fetchone() == (1,)
            connection.execute("select pg_sleep(0.01)")

    def _prepared(self, connection, number, index):
        connection.execute(f"insert into {self.table} values (%s, %s)", (number, index), prepare=True)

    def _copy(self, connection, number, index):
        with connection.cursor() as cursor:
            with cursor.copy(f"copy {self.table} from stdin") as copy:
                copy.write_row((number, index))

    # ---- The verdict --------------------------------------------------------------------------

    def acknowledged(self):
        return set().union(*(tally.acknowledged for tally in self.tallies))

    def in_doubt(self):
        return set().union(*(tally.in_doubt for tally in self.tallies))

    def failures(self):
        return [text for tally in self.tallies for text in tally.failed]

    def reconnects(self):
        return sum(tally.reconnects for tally in self.tallies)

    def longest(self):
        return max(tally.longest for tally in self.tallies)

    def committed(self):
        return {row[0] for row in self.service.cluster.ask(f"select id from {self.table}")}

    def check_nobody_noticed(self):
        """What holds over upgrades and restarts."""
        assert not self.failures(), self.failures()[:5]
        assert self.reconnects() == 0
        assert self.committed() == self.acknowledged()

    def check_nothing_wrong(self):
        """What holds even when processes are killed."""
        committed = self.committed()
        lost = self.acknowledged() - committed
        assert not lost, f"acknowledged, but not committed: {sorted(lost)[:10]}"
        unsent = committed - self.acknowledged() - self.in_doubt()
        assert not unsent, f"committed, but neither acknowledged nor in doubt: {sorted(unsent)[:10]}"


class IdleClients:
    """Clients that say nothing, each with a parameter and a prepared statement of its own."""

    def __init__(self, service, count=30):
        self.connections = [service.connect() for _ in range(count)]
        for number, connection in enumerate(self.connections):
            connection.prepare_threshold = 0
            connection.execute(f"set application_name = 'idle-{number}'")
            connection.execute("set datestyle = 'german'")
            assert self._ask(connection, number) == number

    @staticmethod
    def _ask(connection, number):
        row = connection.execute("select %s::int, date '2026-12-31', "
                                 "current_setting('application_name')", (number,)).fetchone()
        return row[0] if row[2] == f"idle-{number}" else row

    def check(self):
        """All of them still have what they had; the seconds that this took."""
        began = time.monotonic()
        for number, connection in enumerate(self.connections):
            assert self._ask(connection, number) == number
            style = connection.execute("show datestyle").fetchone()[0]
            assert style.startswith("German"), style
        return time.monotonic() - began

    def close(self):
        for connection in self.connections:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
