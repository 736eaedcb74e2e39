"""Random sequences of messages, to PostgreSQL and through the pooler: the answers must be the same.

See run for how it is started. Jobs are processes, each with a database of its own; each takes every
n-th seed.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import pathlib
import queue
import random
import sys
import time

import psycopg

import pools
from cluster import Cluster
from generate import generate
from replay import Difference
from report import report, to_json
from shrink import shrink
from trial import Trial

KEPT = pathlib.Path(__file__).parent / "kept.json"
SHRINK_PATIENCE = 2.0  # for an answer that does not come at all
MOST_FAILURES = 5  # of one job
MOST_ATTEMPTS = 10  # each of two jobs may have to see three times that it is its own sequence


def arguments():
    parser = argparse.ArgumentParser(prog="tests/differential/run", description=__doc__)
    parser.add_argument("--seeds", metavar="A-B", help="generate and run these, both included")
    parser.add_argument("--pool", action="append", default=[], metavar="NAME",
                        help="only this one, may be repeated; default: all")
    parser.add_argument("--each", type=int, metavar="N",
                        help="each sequence through N of the pools, which its seed chooses")
    parser.add_argument("--sequence", metavar="FILE", help="run the sequence in this file")
    parser.add_argument("--kept", action="store_true", help=f"run those in {KEPT.name} first")
    parser.add_argument("--keep", action="store_true", help=f"add what fails to {KEPT.name}")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--no-shrink", action="store_true", help="report what fails as it is")
    parser.add_argument("--show", action="store_true", help="print the sequences, run nothing")
    return parser.parse_args()


def sequences(options):
    """Functions that make them, for generating takes time too."""
    result = []
    if options.kept and KEPT.exists():
        result += [lambda kept=kept: kept for kept in json.loads(KEPT.read_text(encoding="utf8"))]
    if options.sequence:
        given = json.loads(pathlib.Path(options.sequence).read_text(encoding="utf8"))
        result.append(lambda: given)
    if options.seeds:
        first, _, last = options.seeds.partition("-")
        result += [lambda seed=seed: generate(seed)
                   for seed in range(int(first), int(last or first) + 1)]
    return result


def database(job):
    return f"diff{job}"


class Job:
    def __init__(self, cluster, chosen, number, options):
        self.trial = Trial(cluster, database(number))
        self.chosen = chosen
        self.options = options
        self.failed = []  # (report, sequence)
        self.passed = 0
        self.explained = []  # what differed as PostgreSQL itself may: a text each
        self.ended = []  # what PostgreSQL ended without a word: not compared

    def run(self, makers):
        for make in makers:
            self.run_one(make())
            if len(self.failed) >= MOST_FAILURES:
                break

    def run_one(self, sequence):
        """Again where PostgreSQL went down meanwhile, perhaps with a session of another job."""
        for attempt in range(MOST_ATTEMPTS):
            try:
                self.judge(sequence, sure=attempt >= 2)
                return
            except psycopg.OperationalError:
                if attempt + 1 == MOST_ATTEMPTS:
                    raise
                self.trial.database.connect()
                for pool in self.chosen:
                    pool.wait_until_it_serves(self.trial.database.name)

    def judge(self, sequence, sure):
        expected = self.trial.expect(sequence)
        if not expected.comparable and not expected.silent and not sure:
            raise psycopg.OperationalError("it ended a connection without a word")
        if expected.silent:
            self.trial.database.rows()
            print(f"\n==== seed {sequence['seed']}: PostgreSQL itself does not answer to "
                  f"{expected.silent}\n{to_json(sequence)}", flush=True)
            self.failed.append(("", sequence))
        elif not expected.comparable:
            self.ended.append(f"seed {sequence['seed']} at {expected.ended}")
        else:
            self.compare(sequence, expected)

    def compare(self, sequence, expected):
        explained = {}  # reason: pools
        for pool in self.pools_for(sequence):
            wanted = sequence.get("explained", {}).get(pool.name)
            if wanted:  # what must be explained shall not depend on what was before
                pool.renew(self.trial.database.name)
            difference = self.trial.replay(sequence, expected, pool)
            kind = difference.explained.kind if difference and difference.explained else None
            if wanted and kind != wanted and (kind or not difference):
                difference = Difference(f"{kind or 'the same'} instead of {wanted}", difference.got
                                        if difference else expected.frames)
                kind = None
            if kind:
                explained.setdefault(difference.explained.reason, []).append(pool.name)
            elif difference:
                self.trial.database.rows()  # fails where PostgreSQL has gone down
                self.note_failure(pool, sequence, expected, difference)
                return
        if explained:
            self.explained.append(f"seed {sequence['seed']}: " + "; ".join(
                f"{reason}, through {' '.join(names)}" for reason, names in explained.items()))
        else:
            self.passed += 1

    def pools_for(self, sequence):
        least = self.options.each
        if not least or least >= len(self.chosen):
            return self.chosen
        return random.Random(f"pools for {sequence['seed']}").sample(self.chosen, least)

    def note_failure(self, pool, sequence, expected, difference):
        def fails(candidate):
            if fresh:
                pool.renew(self.trial.database.name)
            wanted = self.trial.expect(candidate)
            return wanted.comparable and any(replay(candidate, wanted, cut)
                                             for cut in (True, False))

        def replay(candidate, wanted, cut=True):
            again = self.trial.replay(candidate, wanted, pool, SHRINK_PATIENCE, cut)
            return again if again and not again.explained else None

        notes = []
        fresh = True  # each time with servers that have no past
        if not self.options.no_shrink:
            if not fails(sequence):
                fresh = False
            if fresh or fails(sequence):
                least = shrink(sequence, fails)
                if fresh:
                    pool.renew(self.trial.database.name)
                wanted = self.trial.expect(least)
                again = replay(least, wanted) or replay(least, wanted, cut=False)
                if again:
                    sequence, expected, difference = least, wanted, again
                else:
                    notes.append("the shortest sequence fails only at times: not shortened")
            else:
                notes.append("passes when it is run once more: it depends on what was before")
        self.failed.append((report(pool, sequence, expected, difference, notes), sequence))
        print(self.failed[-1][0], flush=True)


@dataclasses.dataclass
class Result:
    passed: int = 0
    explained: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)
    ended: list = dataclasses.field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.explained += other.explained
        self.failed += other.failed
        self.ended += other.ended


def run_job(cluster, chosen, number, options, makers, results):
    job = Job(cluster, chosen, number, options)
    job.run(makers)
    results.put(Result(job.passed, job.explained, [sequence for _, sequence in job.failed],
                       job.ended))


def run_jobs(options, cluster, chosen):
    makers = sequences(options)
    results = multiprocessing.Queue()
    jobs = [multiprocessing.Process(target=run_job, args=(
        cluster, chosen, number, options, makers[number::options.jobs], results))
        for number in range(options.jobs)]
    for job in jobs:
        job.start()
    result = Result()
    came = 0
    while came < len(jobs):
        alive = any(job.is_alive() for job in jobs)
        try:
            result.add(results.get(timeout=1))
        except queue.Empty:
            if not alive:
                break
            continue
        came += 1
    for job in jobs:
        job.join()
    result.failed += [{"seed": None, "messages": []}] * (len(jobs) - came)  # that is printed
    return result


def keep(failed):
    kept = json.loads(KEPT.read_text(encoding="utf8")) if KEPT.exists() else []
    kept += [sequence for sequence in failed if sequence["messages"] and sequence not in kept]
    KEPT.write_text("[\n" + ",\n".join(to_json(sequence) for sequence in kept) + "\n]\n",
                    encoding="utf8")


def main():
    options = arguments()
    if options.show:
        for make in sequences(options):
            print(to_json(make()))
        return 0
    chosen = pools.choose(options.pool)
    start = time.monotonic()
    cluster = Cluster()
    started = []
    try:
        started = pools.start(cluster, chosen, [database(job) for job in range(options.jobs)])
        result = run_jobs(options, cluster, chosen)
    finally:
        for pooler in started:
            pooler.stop()
        cluster.remove()
    for line in sorted(result.explained):
        print(f"differs as PostgreSQL itself may: {line}")
    for line in sorted(result.ended):
        print(f"not compared, PostgreSQL itself ended the connection without a word: {line}")
    print(f"{result.passed} sequences passed, {len(result.explained)} differ as PostgreSQL itself "
          f"may, {len(result.ended)} not compared, {len(result.failed)} failed, "
          f"through {len(chosen)} pools, in {time.monotonic() - start:.1f} s")
    if options.keep:
        keep(result.failed)
    return 1 if result.failed else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main())
