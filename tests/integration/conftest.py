"""Fixtures: one PostgreSQL for the whole run, and as many poolers as a test asks for."""

import os

import pytest

pytest.register_assert_rewrite("oracle", "process", "sessions")

from cluster import Cluster  # noqa: E402
import process  # noqa: E402
from pooler import Pooler  # noqa: E402


@pytest.fixture(scope="session")
def postgres():
    cluster = Cluster()
    yield cluster
    cluster.remove()


def make_poolers(cluster):
    started = []

    def make(cluster_=cluster, **options):
        pooler = Pooler(cluster_, **options)
        started.append(pooler)
        return pooler.start()

    yield make
    problems = []
    for pooler in started:
        if pooler.process is None or not os.path.isdir(pooler.folder):
            continue  # the test ended it itself
        try:
            pooler.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def pooler(postgres):
    """A factory: pooler(settings={...}, databases={...}, users={...}) starts one for this test."""
    yield from make_poolers(postgres)


@pytest.fixture(scope="module")
def shared_pooler(postgres):
    """The same for poolers that all tests of a file share."""
    yield from make_poolers(postgres)


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
