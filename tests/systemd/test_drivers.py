"""Drivers of several languages keep a pool of connections busy over upgrade, restart and crash."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import process
from service import PORT, UNIT, systemctl

DRIVERS = pathlib.Path(__file__).parent.parent / "drivers"
BUILT = DRIVERS.parent.parent / "build" / "drivers"
STOP = "/tmp/busy.stop"


def psycopg():
    return [sys.executable, DRIVERS / "python" / "psycopg_busy.py"]


def asyncpg():
    if importlib.util.find_spec("asyncpg") is None:
        pytest.skip("asyncpg is missing (tests/install)")
    return [sys.executable, DRIVERS / "python" / "asyncpg_busy.py"]


def node():
    if not shutil.which("node") or not (BUILT / "node/node_modules/pg").is_dir():
        pytest.skip("node-postgres is missing (tests/install)")
    return ["node", DRIVERS / "node" / "busy.js"]


def pgjdbc():
    if not shutil.which("java") or not (BUILT / "java/Busy.class").exists():
        pytest.skip("pgjdbc is missing (tests/install)")
    return ["java", "-cp", f"{BUILT}/java:/usr/share/java/postgresql.jar", "Busy"]


def pgx():
    if not (BUILT / "pgx").exists():
        pytest.skip("pgx is missing (tests/install)")
    return [BUILT / "pgx", "busy"]


def reload(service):
    systemctl("reload", UNIT)


def restart(service):
    systemctl("restart", UNIT)


def kill(service):
    service.kill()


@pytest.mark.parametrize("driver", [psycopg, asyncpg, node, pgjdbc, pgx])
def test_a_busy_pool_of_connections(service, driver):
    command = driver()
    service.configure(upgrade_probation="500ms", default_pool_size=3)
    service.start()
    service.cluster.ask("drop table if exists busy")
    service.cluster.ask("create table busy (driver text)")
    environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(PORT), "PGUSER": "tester",
                   "PGDATABASE": "postgres", "PGPASSWORD": "", "PGSSLMODE": "disable",
                   "BUSY_STOP": STOP, "NODE_PATH": str(BUILT / "node/node_modules")}

    def rows():
        return service.cluster.ask("select count(*) from busy")[0][0]

    def goes_on():
        before = rows()
        process.until(lambda: rows() >= before + 20, "the driver goes on", 60, 0.05)

    def run(events):
        pathlib.Path(STOP).unlink(missing_ok=True)
        with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as program:
            try:
                goes_on()
                for event in events:
                    event(service)
                    goes_on()
            finally:
                pathlib.Path(STOP).touch()
                said = program.communicate(timeout=60)[0]
        assert program.returncode == 0, said
        return re.search(r"turns=(\d+) errors=(\d+)", said), said

    found, said = run([reload, restart, reload])
    assert found and found[2] == "0", said
    found, said = run([kill, reload, kill])
    assert found and int(found[2]) <= 2 * 4, said  # at most once per busy connection and kill
