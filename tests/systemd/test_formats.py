"""Sessions in every state go from each release to each other one, however the process ends."""

import pytest

import process
import releases
from releases import CURRENT, NEWER, OLDER
from service import PORT, UNIT, systemctl
from sessions import DATABASES, SETTINGS, Sessions


class Peer:
    """The service, for sessions."""

    def __init__(self, service):
        self.service = service
        self.host = "127.0.0.1"
        self.port = PORT

    def pool(self, database):
        row, = [row for row in self.service.console("SHOW POOLS") if row["database"] == database]
        return row


def upgrade(service):
    systemctl("reload", UNIT)


def restart(service):
    systemctl("restart", UNIT)


@pytest.mark.parametrize("event", [upgrade, restart])
def test_nobody_notices(service, event):
    service.configure(DATABASES, upgrade_probation="300ms", **SETTINGS)
    service.start()
    for release in (CURRENT, NEWER, OLDER, NEWER, CURRENT, OLDER, CURRENT):
        with Sessions(Peer(service), service.cluster) as sessions:
            releases.install(service, release)
            event(service)
            assert releases.running(service) == release
            sessions.check()


def test_a_kill_costs_those_who_are_busy(service):
    service.configure(DATABASES, **SETTINGS)
    service.start()
    before = CURRENT
    for release in (CURRENT, NEWER, OLDER, CURRENT):
        with Sessions(Peer(service), service.cluster) as sessions:
            releases.install(service, release)
            process.until(lambda: releases.figures(service)["in_doubt"] == "0",
                          "everything is written down")
            service.kill()
            assert releases.running(service) == release
            sessions.check_after_crash(listens=OLDER not in (before, release))
        before = release


def test_a_restart_with_what_the_program_cannot_read(service):
    """The records are for later readers only: the clients are lost, it is said, and all is well."""
    service.drop_in("needs", "[Service]\nEnvironment=PG_DOORMAN_READABLE_BY=3\n")
    releases.install(service, NEWER)
    service.start()
    with service.connect() as client:
        client.execute("select 1")
        releases.install(service, CURRENT)
        systemctl("restart", UNIT)
        service.until_journal("of version 3 and for readers of version 3 or later")
        assert releases.running(service) == CURRENT
    with service.connect() as client:
        assert client.execute("select 2").fetchone() == (2,)
