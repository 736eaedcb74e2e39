"""Other releases: two programs stand in for the one before, whose records lack something, and the one
after, whose records have something that nobody knows. Sessions go from each to each, by upgrades and
by crashes."""

import os
import subprocess

import pytest

import pooler as pooler_module
import process
import wire
from service import KeptPooler
from sessions import DATABASES, SETTINGS, Sessions, data, errors
from wire import SYNC, bind, execute, parse

CURRENT, OLDER, NEWER = "current", "older", "newer"
VERSIONS = {OLDER: "1", CURRENT: "2", NEWER: "3"}
PATIENCE = 30.0

pytestmark = pytest.mark.skipif("PG_DOORMAN_NEWER" not in os.environ,
                                reason="PG_DOORMAN_OLDER and PG_DOORMAN_NEWER are not set")


def program(release):
    return pooler_module.binary() if release == CURRENT else os.environ[f"PG_DOORMAN_{release.upper()}"]


def figures(peer):
    return {row["key"]: str(row["value"]) for row in peer.show("STASH")}


def runs(peer):
    """The version of the records that the running program writes."""
    return figures(peer)["record_version"]


# ---- Upgrades -----------------------------------------------------------------------------------

def test_up_and_down_and_back(upgradable, postgres):
    peer = upgradable(settings=SETTINGS, databases=DATABASES)
    assert runs(peer) == VERSIONS[CURRENT]
    for release in (NEWER, OLDER, NEWER, CURRENT, OLDER, CURRENT):
        with Sessions(peer, postgres) as sessions:
            peer.install(program(release))
            peer.upgrade()
            assert runs(peer) == VERSIONS[release]
            sessions.check()


@pytest.mark.parametrize("old, new", [(CURRENT, NEWER), (CURRENT, OLDER)])
def test_the_old_process_reads_what_another_release_wrote_before_it_died(upgradable, old, new):
    peer = upgradable(settings={"upgrade_probation": "3"})
    with wire.connect(peer, PATIENCE) as idle, wire.connect(peer, PATIENCE) as begun:
        begun.ask("begin")
        peer.install(program(new), PG_DOORMAN_FAULT="ping 4:crash")
        with subprocess.Popen([f"/proc/{peer.process.pid}/exe", "upgrade", "--socket",
                               peer.settings["control_socket"]]) as asked:
            process.until(lambda: "serves 2 clients" in peer.read_log(), "the successor serves")
            idle.rows("set timezone = 'Asia/Tokyo'")
            idle.send(parse("select 6 * 7", "answer") + SYNC)
            idle.read_until()
            assert asked.wait(60) == 1
        process.until(lambda: "taken back" in peer.read_log(), "it is taken back")
        assert runs(peer) == VERSIONS[old]
        assert idle.rows("show timezone") == ["Asia/Tokyo"]
        idle.send(bind(statement="answer") + execute() + SYNC)
        assert data(idle.read_until()) == ["42"]
        assert errors(begun.read_to_end()) == ["57P01"]


@pytest.mark.parametrize("running, asked_for", [(CURRENT, NEWER), (NEWER, CURRENT)])
def test_records_that_the_other_one_cannot_read(upgradable, running, asked_for):
    """What a release writes may be for later readers only: then nothing happens, and it is said."""
    peer = upgradable()
    needs = {"PG_DOORMAN_READABLE_BY": "3"}
    if running == NEWER:
        peer.install(program(NEWER), **needs)
        peer.upgrade()
        peer.install(program(CURRENT), **needs)  # of which it knows nothing
    with peer.connect() as idle, peer.connect(autocommit=False) as begun:
        idle.execute("select 1")
        begun.execute("create temp table mine (x int) on commit drop")
        if running == NEWER:
            said = peer.upgrade(expected=1)
            assert "reads records of version 1 to 2, these are of version 3" in said
        else:
            peer.install(program(NEWER), PG_DOORMAN_OLDEST="3")
            said = peer.upgrade(expected=1)
            assert "reads records of version 3 to 3, these are of version 2" in said
        assert runs(peer) == VERSIONS[running]
        assert idle.execute("select 2").fetchone() == (2,)
        assert begun.execute("select count(*) from mine").fetchone() == (0,)
        begun.commit()
        with peer.connect() as late:
            assert late.execute("select 3").fetchone() == (3,)
        assert peer.show("UPGRADES")[-1]["result"] == "failed"


# ---- Crashes ------------------------------------------------------------------------------------

@pytest.fixture
def kept(postgres):
    started = []

    def make(**options):
        started.append(KeptPooler(postgres, **options))
        return started[-1].start()

    yield make
    for each in started:
        each.stop()


def at_rest(peer):
    """All that has been done is written down."""
    process.until(lambda: figures(peer)["in_doubt"] == "0", "everything is written down")


def has_proven_itself(peer):
    process.until(lambda: figures(peer)["deaths"] == "0", "the process has proven itself")


def test_crashes(kept, postgres):
    peer = kept(settings=SETTINGS, databases=DATABASES)
    before = CURRENT
    for release in (NEWER, OLDER, CURRENT, OLDER, NEWER, CURRENT):
        with Sessions(peer, postgres) as sessions:
            at_rest(peer)
            peer.install(program(release))
            peer.crash()
            has_proven_itself(peer)
            assert runs(peer) == VERSIONS[release]
            # The older release does not write down who listens to what.
            sessions.check_after_crash(listens=OLDER not in (before, release))
        before = release


def test_a_stash_that_is_for_later_readers(kept):
    """Its clients are lost, and it is said; what comes after that is well."""
    peer = kept()
    peer.install(program(NEWER), PG_DOORMAN_READABLE_BY="3")
    peer.crash()
    with wire.connect(peer, PATIENCE) as client:
        assert client.rows("select 1") == ["1"]
        at_rest(peer)
        peer.install(program(CURRENT))
        peer.crash()
        assert client.is_closed(PATIENCE)
        assert "of version 3, for readers of version 3 or later" in peer.read_log()
    with wire.connect(peer, PATIENCE) as client:
        assert client.rows("select 2") == ["2"]
        at_rest(peer)
        peer.crash()
        assert client.rows("select 3") == ["3"]
