"""The pooler has no file descriptor left: it says so once, goes on, and comes back by itself."""

import os
import time

import pytest

import process
import wire

FILES = 64


@pytest.fixture(autouse=True)
def sanitizer_needs_no_files(monkeypatch):
    """UBSan's look at an object's type opens a pipe, and takes it for a bad object if it cannot."""
    folder = process.new_folder("pgdm-ub-")
    path = os.path.join(folder, "suppressions")
    with open(path, "w", encoding="ascii") as file:
        file.write("vptr_check:*\n")
    monkeypatch.setenv("UBSAN_OPTIONS", f"suppressions={path}")
    yield
    process.remove_folder(folder)


def open_files(peer):

    return len(os.listdir(f"/proc/{peer.process.pid}/fd"))


def fill(peer):
    """More connections than there can be, in the middle of their login."""
    crowd = [wire.Wire(peer.host, peer.port) for _ in range(FILES + 20)]
    for client in crowd:
        client.send(b"\0\0")
    return crowd


def test_out_of_files(postgres, pooler):
    peer = pooler(settings={"workers": "2", "default_pool_size": "3"}, files=FILES)
    early = [wire.connect(peer) for _ in range(3)]
    for client in early:
        assert client.rows("select 1") == ["1"]
    crowd = fill(peer)
    process.until(lambda: "cannot accept" in peer.read_log(), "it says so")
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        for client in early:
            assert client.rows("select 1") == ["1"], "those who are in go on"
    assert peer.read_log().count("cannot accept") == 1, "once"
    for client in crowd:
        client.close()
    process.until(lambda: works(peer), "new clients come in again", patience=5)
    for client in early:
        assert client.rows("select 2") == ["2"]
        client.close()
    assert open_files(peer) < FILES


def test_says_it_again_the_next_time(pooler):
    peer = pooler(settings={"workers": "1"}, files=FILES)
    for number in (1, 2):
        crowd = fill(peer)
        process.until(lambda n=number: peer.read_log().count("cannot accept") == n, "it says so",
                      patience=3)
        for client in crowd:
            client.close()
        process.until(lambda: works(peer), "new clients come in again", patience=5)


def test_those_who_are_not_let_in_learn_why(pooler):
    peer = pooler(settings={"workers": "1"}, files=FILES)
    crowd = fill(peer)
    with wire.Wire(peer.host, peer.port) as late:
        late.send(wire.startup(user="tester", database="postgres"))
        messages = late.read_to_end()
        assert [wire.fields(body)["C"] for kind, body in messages if kind == "E"] == ["53300"]
    for client in crowd:
        client.close()


def works(peer):
    try:
        with wire.connect(peer, patience=2) as connection:
            return connection.rows("select 1") == ["1"]
    except (AssertionError, OSError, wire.Closed):
        return False
