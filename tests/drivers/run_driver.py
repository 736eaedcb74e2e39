"""Runs a program with a private PostgreSQL and a pooler in front of it, whose pool is smaller than
the program's concurrency, and checks that the pool was never exceeded and is at rest afterwards, and
that a driver that can prepare statements has done so, in several connections the same."""

import os
import subprocess
import sys
import threading

from cluster import Cluster, password
from pooler import Pooler

POOL_SIZE = 3
USER = "scram_user"
PATIENCE = 150
PREPARE_NOTHING = ("psql", "psycopg2")


def watch(cluster, stop, most):
    """Keeps in most[0] the largest number of connections that the pool ever had."""
    with cluster.connect("postgres") as connection:
        while not stop.wait(0.05):
            row = connection.execute("select count(*) from pg_stat_activity where usename = %s "
                                     "and backend_type = 'client backend'", (USER,)).fetchone()
            most[0] = max(most[0], row[0])


def run(name, command, cluster, pooler):
    environment = {**os.environ, "PGHOST": pooler.host, "PGPORT": str(pooler.port), "PGUSER": USER,
                   "PGDATABASE": "postgres", "PGPASSWORD": password(USER), "PGSSLMODE": "disable"}
    stop, most = threading.Event(), [0]
    watcher = threading.Thread(target=watch, args=(cluster, stop, most))
    watcher.start()
    try:
        status = subprocess.run(command, env=environment, timeout=PATIENCE, check=False).returncode
    finally:
        stop.set()
        watcher.join()
    assert status == 0, f"{command[-1]} ended with {status}"
    pooler.wait_for_rest(user=USER)
    assert most[0] <= POOL_SIZE, f"{most[0]} connections, pool size {POOL_SIZE}"
    counted, = pooler.show("STATEMENTS")
    if name not in PREPARE_NOTHING:
        assert int(counted["hits"]) > 0 and int(counted["parses_saved"]) > 0, counted


def main():
    cluster = Cluster()
    pooler = Pooler(cluster, settings={"auth_type": "scram-sha-256",
                                       "default_pool_size": str(POOL_SIZE)},
                    users={USER: password(USER), "admin": "admin"})
    os.environ["PGPASSWORD"] = "admin"
    try:
        pooler.start()
        run(sys.argv[1], sys.argv[2:], cluster, pooler)
    except BaseException:
        print(pooler.read_log()[-4000:], file=sys.stderr)
        raise
    finally:
        try:
            if pooler.process:
                pooler.stop()
        finally:
            cluster.remove()


main()
