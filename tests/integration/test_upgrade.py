"""Live upgrades: every kind of session crosses to the next process, and nobody notices."""

import os

import pytest

import process


@pytest.fixture
def upgradable(pooler):
    """A factory like `pooler`, with what an upgrade needs and a short probation."""
    def make(settings=None, **options):
        folder = process.new_folder("pgup-")
        peer = pooler(settings={"pidfile": os.path.join(folder, "pid"),
                                "control_socket": os.path.join(folder, "control"),
                                "upgrade_probation": "0.2", **(settings or {})}, **options)
        folders.append(folder)
        return peer

    folders = []
    yield make
    for folder in folders:
        process.remove_folder(folder)


def backend_pids(cluster):
    with cluster.connect() as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = "
                                  "'client backend' AND pid <> pg_backend_pid()").fetchall()
    return sorted(row[0] for row in rows)


def test_idle_clients(upgradable, postgres):
    peer = upgradable()
    clients = [peer.connect() for _ in range(20)]
    for client in clients:
        client.execute("SELECT 1")
    before = backend_pids(postgres)
    peer.upgrade()
    for number, client in enumerate(clients):
        assert client.execute("SELECT %s::int", (number,)).fetchone() == (number,)
    assert backend_pids(postgres) == before
    with peer.connect() as late:
        assert late.execute("SELECT 2").fetchone() == (2,)


def test_in_transaction(upgradable):
    peer = upgradable()
    with peer.connect(autocommit=False) as client:
        client.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        client.execute("INSERT INTO mine VALUES (7)")
        pid = client.execute("SELECT pg_backend_pid()").fetchone()
        peer.upgrade()
        assert client.execute("SELECT x, pg_backend_pid() FROM mine").fetchone() == (7, *pid)
        client.commit()
