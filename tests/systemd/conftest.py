"""Fixtures: one PostgreSQL and one service per box; each test gets the service as installed."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parent.parent / "integration"))
pytest.register_assert_rewrite("service", "sessions")

from cluster import Cluster  # noqa: E402
from service import Service, run  # noqa: E402


@pytest.fixture(scope="session")
def postgres():
    run("systemd-sysusers")
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
def service(postgres):
    """Not started yet, so that a test can configure it."""
    made = Service(postgres)
    made.reset()
    yield made
    made.reset()
