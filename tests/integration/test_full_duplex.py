"""Pipelines and copies whose input and output both exceed every buffer end, and memory does not
grow with them."""

import threading

import pytest

import wire
from wire import COPY_DONE, SYNC, bind, copy_data, execute, parse, query

MEGABYTE = 1 << 20
ROUNDS = 500
VALUE = b"v" * 100_000  # 500 rounds: 50 MB in, 50 MB out


def resident(pooler):
    """Resident memory of the pooler in bytes; 0 under a sanitizer, whose own memory hides it."""
    with open(f"/proc/{pooler.process.pid}/maps", encoding="utf8") as file:
        if "libasan" in (maps := file.read()) or "libtsan" in maps:
            return 0
    with open(f"/proc/{pooler.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


@pytest.fixture(params=("transaction", "session"))
def peer(request, pooler):
    return pooler(settings={"pool_mode": request.param, "default_pool_size": "1"})


def both_ways(connection, chunks, read):
    """Writes `chunks` in a thread of their own while `read()` reads the answers."""
    writer = threading.Thread(target=lambda: [connection.send(chunk) for chunk in chunks])
    writer.start()
    result = read()
    writer.join()
    return result


def count_values(connection, ends):
    total = syncs = 0
    while syncs < ends:
        kind, body = connection.read()
        assert kind != "E", wire.fields(body)
        total += len(body) - 6 if kind == "D" else 0
        syncs += kind == "Z"
    return total


@pytest.mark.parametrize("every_sync", (True, False), ids=("a_sync_each", "one_sync"))
def test_pipeline_larger_than_all_buffers(peer, every_sync):
    before = resident(peer)
    one = parse("select $1::text") + bind([VALUE]) + execute()
    chunks = [one + (SYNC if every_sync else b"") for _ in range(ROUNDS)] + [SYNC]
    with wire.connect(peer, patience=60) as connection:
        total = both_ways(connection, chunks, lambda: count_values(
            connection, ROUNDS + 1 if every_sync else 1))
        assert total == ROUNDS * len(VALUE)
        grown = resident(peer) - before
        assert connection.rows("select 1") == ["1"]
    assert grown < 32 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB more"


def test_simple_queries_back_to_back(peer):
    chunks = [query(b"select '" + VALUE + b"'")] * ROUNDS
    with wire.connect(peer, patience=60) as connection:
        total = both_ways(connection, chunks, lambda: count_values(connection, ROUNDS))
    assert total == ROUNDS * len(VALUE)


def test_slow_reader_does_not_fatten_the_pooler(peer):
    """A client that asks for 400 MB and does not read: the server waits, not the memory."""
    before = resident(peer)
    with wire.connect(peer) as connection:
        connection.send(query("select repeat('x', 1000000) from generate_series(1, 400)"))
        threading.Event().wait(1.5)
        grown = resident(peer) - before
        assert count_values(connection, 1) == 400_000_000
    assert grown < 16 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB more"


def test_copy_in_of_200_megabytes(peer):
    before = resident(peer)
    row = b"w" * 99_999 + b"\n"
    with wire.connect(peer, patience=60) as connection:
        connection.send(query("begin; create temp table fat (t text); copy fat from stdin"))
        connection.read_until("G")
        for _ in range(2000):
            connection.send(copy_data(row))
        connection.send(COPY_DONE)
        assert [kind for kind, _ in connection.read_until("Z")] == ["C", "Z"]
        grown = resident(peer) - before
        assert connection.rows("select count(*) from fat") == ["2000"]
        connection.ask("rollback")
    assert grown < 16 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB more"


def test_fat_client_does_not_slow_its_neighbour(pooler):
    """While one streams as fast as it can, another's small queries are answered."""
    peer = pooler(settings={"default_pool_size": "2"})
    with wire.connect(peer, patience=60) as fat, wire.connect(peer) as small:
        fat.send(query("select repeat('x', 1000000) from generate_series(1, 300)"))
        reader = threading.Thread(target=lambda: count_values(fat, 1))
        reader.start()
        for _ in range(50):
            assert small.rows("select 1") == ["1"]
        reader.join()
