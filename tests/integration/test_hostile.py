"""Peers that want to do harm: nobody else notices, and the pooler does not grow."""

import contextlib
import os
import random
import socket
import struct
import threading
import time

import pytest

import process
import wire
from wire import frame, query


@pytest.fixture(autouse=True)
def small_quarantine(monkeypatch):
    """AddressSanitizer keeps 256 MB of freed memory, which would hide what is measured here."""
    monkeypatch.setenv("ASAN_OPTIONS", "quarantine_size_mb=8")


MEGABYTE = 1 << 20
GROWTH = 64 * MEGABYTE  # what a peer may cost at most; the attacks below would take far more


def resident(peer):
    with open(f"/proc/{peer.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def witness(peer):
    """Somebody does transactions meanwhile; all must succeed, none may be slow."""
    stop = threading.Event()
    problems, times = [], []

    def work():
        try:
            with wire.connect(peer, user="postgres") as connection:
                while not stop.is_set():
                    started = time.monotonic()
                    connection.ask("begin")
                    assert connection.rows("select 42") == ["42"]
                    assert connection.ask("commit")[-1] == ("Z", b"I")
                    times.append(time.monotonic() - started)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(repr(problem))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    process.until(lambda: times or problems, "the witness has its turn")
    stop.set()
    thread.join()
    assert not problems, problems
    assert times and max(times) < 5, max(times)


def pour(connection, data, limit, patience=3.0):
    """Sends `data` again and again, reading nothing, until nothing more is taken."""
    connection.socket.setblocking(False)
    sent, end = 0, time.monotonic() + patience
    view = memoryview(data)
    offset = 0
    while sent < limit and time.monotonic() < end:
        try:
            count = connection.socket.send(view[offset:])
        except BlockingIOError:
            time.sleep(0.01)
            continue
        except OSError:
            break
        sent += count
        offset = (offset + count) % len(data)
    connection.socket.setblocking(True)
    connection.socket.settimeout(connection.patience)
    return sent


FLOODS = {
    "syncs": wire.SYNC * 10_000,
    "syncs_in_a_transaction": query("begin") + wire.SYNC * 10_000,
    "queries": query("select 1") * 5_000,
    "empty_queries": query("") * 10_000,
    "wide_answers": query("select repeat('x', 100000)") * 1_000,
    "flushes": wire.FLUSH * 10_000,
    "named_parses_and_closes": (wire.parse("select 1", "a") + wire.close("S", "a")) * 5_000,
    "parses_of_new_names": b"".join(wire.parse("select 1", f"n{n}") for n in range(20_000)),
    "unnamed_parses": wire.parse("select 1") * 10_000,
    "closes_of_nothing": wire.close("S", "nothing") * 10_000,
    "copy_ends": query("select pg_sleep(3)") + wire.COPY_DONE * 50_000,
    "binds_after_an_error": wire.parse("this is no SQL") + wire.bind() * 100_000,
    "executes": wire.parse("select 1") + (wire.bind() + wire.execute()) * 20_000,
    "notices": query("do $$ begin for i in 1..10000 loop raise notice 'xxxxxxxxxxxx'; end loop; "
                     "end $$") * 100,
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood_of_one_who_does_not_read(pooler, name):
    peer = pooler(settings={"default_pool_size": "2"})
    with witness(peer), wire.connect(peer) as bad:
        before = resident(peer)
        pour(bad, FLOODS[name], 40 * MEGABYTE, patience=0.7)
        assert resident(peer) - before < GROWTH
    peer.wait_for_rest()


def test_answers_to_a_flood_come_once_it_reads(pooler):
    peer = pooler()
    with wire.connect(peer) as slow:
        sender = threading.Thread(target=slow.send, args=(wire.SYNC * 1_000_000 + query("select 7"),))
        sender.start()
        time.sleep(1)
        slow.read_until("Z" * 1_000_000)
        assert [kind for kind, _ in slow.read_until("Z")] == list("TDCZ")
        sender.join()


def test_console_flood(pooler):
    peer = pooler()
    with wire.connect(peer, user="admin", database="pgbouncer") as bad:
        before = resident(peer)
        pour(bad, query("show config") * 1_000, 20 * MEGABYTE, patience=2)
        assert resident(peer) - before < GROWTH
    with wire.connect(peer, user="admin", database="pgbouncer") as slow:
        slow.send(query("show config") * 400)
        time.sleep(0.3)
        assert len(slow.read_until("Z" * 400)) > 400


def test_query_in_the_packet_of_the_password(pooler):
    peer = pooler(settings={"auth_type": "plain"}, users={"tester": "pw"})
    for _ in range(3):
        with wire.Wire(peer.host, peer.port, patience=3) as connection:
            connection.send(wire.startup(user="tester", database="postgres"))
            connection.read_until("R")
            connection.send(frame("p", b"pw\0") + query("select 5"))
            connection.read_until("Z")
            assert [kind for kind, _ in connection.read_until("Z")] == list("TDCZ")


def test_bytes_behind_a_password_that_is_being_checked(pooler):
    """Each login's key derivation takes its time; nobody may fill our memory meanwhile."""
    secret = "SCRAM-SHA-256$2000000:c2FsdHNhbHRzYWx0c2FsdA==$" + "A" * 43 + "=:" + "A" * 43 + "="
    peer = pooler(settings={"auth_type": "plain"}, users={"tester": secret, "postgres": "pw"})
    bad = [wire.Wire(peer.host, peer.port) for _ in range(8)]
    before = resident(peer)
    for client in bad:
        client.send(wire.startup(user="tester", database="postgres"))
        client.read_until("R")
        client.send(frame("p", b"wrong\0"))
    for client in bad:
        pour(client, b"x" * MEGABYTE, 30 * MEGABYTE, patience=0.2)
    assert resident(peer) - before < GROWTH
    for client in bad:
        client.close()


def test_half_logins_are_ended(pooler):
    peer = pooler(settings={"client_login_timeout": "1", "tcp_defer_accept": "0"})
    whole = wire.startup(user="tester", database="postgres")
    bad = [wire.Wire(peer.host, peer.port) for _ in range(30)]
    for number, client in enumerate(bad):
        client.send(whole[:number] if number < len(whole) else b"")
    with witness(peer):
        started = time.monotonic()
        for client in bad:
            assert client.is_closed(4)
        assert time.monotonic() - started < 4
        # One byte now and then does not prolong it.
        with wire.Wire(peer.host, peer.port) as slow:
            started = time.monotonic()
            with contextlib.suppress(OSError):
                for byte in whole:
                    slow.send(bytes([byte]))
                    time.sleep(0.1)
            assert slow.is_closed(3)
            assert time.monotonic() - started < 5


@pytest.mark.parametrize("data", (
    wire.startup(user="u" * 9000, database="postgres"),
    wire.startup(user="tester", database="d" * 9000),
    wire.startup(user="tester", database="postgres", options="-c " + "x" * 8000),
    wire.startup_raw(b"user\0tester\0" + b"a\0b\0" * 2400 + b"\0"),
    wire.startup(user="tester", database="postgres", search_path="x," * 4000),
), ids=("user", "database", "options", "many_parameters", "value"))
def test_huge_startup(pooler, data):
    peer = pooler()
    with witness(peer):
        with wire.Wire(peer.host, peer.port) as bad:
            bad.send(data)
            with contextlib.suppress(wire.Closed):
                assert bad.authenticate("tester", "")[-1][0] in "ZE"


@pytest.mark.parametrize("kind", "PBQF")
def test_message_that_never_ends(pooler, kind):
    """It is passed on as it comes, and costs no more than its way through."""
    peer = pooler(settings={"default_pool_size": "2"})
    with witness(peer), wire.connect(peer) as bad:
        before = resident(peer)
        bad.send(kind.encode() + struct.pack("!I", 900 * MEGABYTE) + b"name\0")
        pour(bad, b"x" * MEGABYTE, 80 * MEGABYTE, patience=3)
        assert resident(peer) - before < GROWTH
    peer.wait_for_rest()


def test_named_parse_that_is_too_long_is_refused(pooler):
    peer = pooler(settings={"max_prepared_statement_size": "100000"})
    with wire.connect(peer) as bad:
        bad.send(wire.parse("select '" + "x" * 200_000 + "'", "name"))
        assert [wire.fields(body)["C"] for kind, body in bad.read_to_end() if kind == "E"]
    with wire.connect(peer) as good:
        assert good.rows("select 1") == ["1"]


def test_many_settings(pooler):
    """Each distinct set of parameters is remembered only as long as somebody has it."""
    peer = pooler()
    with wire.connect(peer) as bad:
        before = resident(peer)
        for number in range(3000):
            bad.ask(f"set application_name = 'name {number} {'x' * 40}'")
        assert resident(peer) - before < GROWTH


def test_many_statement_names(pooler):
    peer = pooler(settings={"max_prepared_statements": "10"})
    with wire.connect(peer) as bad, witness(peer):
        for start in range(0, 5000, 500):
            bad.send(b"".join(wire.parse(f"select {n}", f"n{n}") for n in range(start, start + 500)) +
                     wire.SYNC)
            assert [k for k, _ in bad.read_until("Z")].count("1") == 500
    assert int(peer.pool()["sv_active"]) == 0


def mutate(draw, data):
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        where = draw.randrange(len(data))
        choice = draw.randrange(5)
        if choice == 0:
            data[where] = draw.randrange(256)
        elif choice == 1:
            del data[where:where + draw.randrange(1, 8)]
        elif choice == 2:
            data[where:where] = draw.randbytes(draw.randrange(1, 8))
        elif choice == 3:
            data[where:where] = data[:draw.randrange(len(data))]
        else:
            data[where] ^= 1 << draw.randrange(8)
        if not data:
            data = bytearray(b"Q")
    return bytes(data)


SEEDS = (
    query("select 1") + query("begin") + query("commit"),
    wire.parse("select $1::int", "s", (23,)) + wire.describe("S", "s") + wire.bind((1,), "", "s") +
    wire.describe() + wire.execute() + wire.close("S", "s") + wire.SYNC,
    query("copy (select 1) to stdout"),
    query("create temp table if not exists c(a int)") + query("copy c from stdin") +
    wire.copy_data("1\n2\n") + wire.COPY_DONE + query("discard all"),
    wire.parse("select 1/0") + wire.bind() + wire.execute() + wire.SYNC + wire.FLUSH,
    wire.function_call(1397, b"\0\0\0\1") + wire.SYNC,
    query("set application_name = 'x'") + query("select pg_notify('a', 'b')") + query("listen a"),
)


@pytest.mark.parametrize("part", range(4))
def test_mutated_frames(pooler, part):
    """2,000 tries in all, always the same ones."""
    draw = random.Random(7 + part)
    peer = pooler(settings={"default_pool_size": "3"}, databases={
        "postgres": "", "session": "pool_mode=session", "statement": "pool_mode=statement"})
    before = resident(peer)
    with witness(peer):
        for number in range(500):
            with contextlib.suppress(OSError, wire.Closed):
                if draw.randrange(8) == 0:
                    with wire.Wire(peer.host, peer.port) as bad:
                        login = wire.startup(user="tester", database="postgres", DateStyle="ISO")
                        bad.send(mutate(draw, login + draw.choice(SEEDS)))
                        bad.socket.shutdown(socket.SHUT_WR)
                        bad.socket.settimeout(0.2)
                        bad.read_to_end()
                    continue
                database = draw.choice(("postgres", "session", "statement"))
                with wire.connect(peer, database=database) as bad:
                    bad.send(mutate(draw, draw.choice(SEEDS)))
                    if draw.randrange(2):
                        bad.socket.shutdown(socket.SHUT_WR)
                        bad.socket.settimeout(0.2)
                        bad.read_to_end()
            assert peer.process.poll() is None, f"try {number}"
    for database in ("postgres", "session", "statement"):
        peer.wait_for_rest(database)
    assert resident(peer) - before < GROWTH
    process.until(lambda: peer.process.poll() is None, "it lives")


def test_random_bytes_after_login(pooler):
    draw = random.Random(3)
    peer = pooler()
    with witness(peer):
        for _ in range(150):
            with contextlib.suppress(OSError, wire.Closed), wire.connect(peer) as bad:
                bad.send(draw.randbytes(draw.choice((1, 5, 100, 70_000))))
                bad.socket.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    bad.read_to_end()
    peer.wait_for_rest()
