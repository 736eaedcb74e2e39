"""Prepared statements through the pooler: the same frames as from PostgreSQL itself.

Each case is a list of steps of one client; `others` says what another client does between the
steps, on the same pool, so that servers and what they hold are exchanged in between.
"""

import os
import socket
import struct
import threading

import pytest

import oracle
import process
import wire
from wire import FLUSH, SYNC, bind, close, describe, execute, parse, query

CONFIGURATIONS = [(size, cache, share) for size in (1, 3) for cache in (1, 2, 100)
                  for share in (0, 1)]
RUN = bind() + execute() + SYNC


def step(data, ends="Z"):
    return (data, ends)


def named(name, values=()):
    return bind(values, statement=name) + execute()


def texts(count, first=0):
    return [f"select {n} as x" for n in range(first, first + count)]


CASES = {
    "cached parse, new parse and describe in one batch": [
        step(parse("select 1", "a") + SYNC),
        step(parse("select 1", "b") + parse("select 2", "c") + describe("S", "c") + SYNC)],
    "two cached parses of the same statement": [
        step(parse("select 1", "a") + SYNC),
        step(parse("select 1", "b") + parse("select 1", "c") + named("b") + named("c") + SYNC)],
    "cached parse and nothing else": [
        step(parse("select 1", "a") + SYNC), step(parse("select 1", "b") + SYNC)],
    "cached parse, then an older portal": [
        step(parse("select generate_series(1,5)", "a") + SYNC),
        step(query("begin")),
        step(bind(portal="p", statement="a") + execute("p", 2) + SYNC),
        step(parse("select generate_series(1,5)", "b") + execute("p", 2) + SYNC),
        step(query("commit"))],
    "describe after a cached parse": [
        step(parse("select 1", "a") + SYNC),
        step(parse("select 1", "b") + describe("S", "b") + named("b") + SYNC)],
    "rows are not interrupted": [
        step(parse("select generate_series(1,1000)", "a") + SYNC),
        step(named("a") + parse("select generate_series(1,1000)", "b") + named("b") + SYNC)],
    "a large reply with a cached parse": [
        step(parse("select repeat('x', 100000)", "a") + SYNC),
        step(parse("select repeat('x', 100000)", "b") + named("b") + SYNC)],
    "large replies between cached parses": [
        step(parse("select repeat('x', 400000)", "a") +
             parse("select repeat('y', 900) from generate_series(1, 500)", "r") + SYNC),
        step(parse("select repeat('x', 400000)", "b") + named("b") +
             parse("select repeat('y', 900) from generate_series(1, 500)", "s") + named("s") +
             parse("select repeat('x', 400000)", "c") + describe("S", "c") + named("c") +
             parse("select repeat('x', 400000)", "d") + SYNC)],
    "an error between cached parses": [
        step(parse("select 1", "a") + parse("select 1/$1::int", "d") + SYNC),
        step(parse("select 1", "b") + named("d", ["0"]) + parse("select 1", "c") + SYNC),
        step(named("b") + SYNC), step(named("c") + SYNC)],
    "closed and parsed anew with another text": [
        step(parse("select 1", "a") + SYNC),
        step(close("S", "a") + parse("select 2", "a") + named("a") + SYNC),
        step(named("a") + SYNC)],
    "twenty statements in a batch": [
        step(b"".join(parse(sql, f"s{n}") for n, sql in enumerate(texts(20))) +
             b"".join(named(f"s{n}") for n in range(20)) + SYNC),
        step(b"".join(named(f"s{n}") for n in reversed(range(20))) + SYNC)],
    "three statements by turns": [
        step(b"".join(parse(sql, f"s{n}") + SYNC for n, sql in enumerate(texts(3))), "ZZZ"),
        step(b"".join(named(f"s{n % 3}") + SYNC for n in range(12)), "Z" * 12)],
    "evicted and needed again in one batch": [
        step(b"".join(parse(sql, f"s{n}") for n, sql in enumerate(texts(4))) + SYNC),
        step(b"".join(named(f"s{n % 4}") for n in (0, 1, 0, 2, 3, 0, 1, 1, 2, 0)) +
             parse("select 0 as x", "t") + named("t") + named("s3") + SYNC),
        step(b"".join(named(f"s{n}") for n in range(4)) + named("t") + SYNC)],
    "parse, describe and flush, then the rest": [
        step(parse("select $1::text", "a") + describe("S", "a") + FLUSH, "T"),
        step(named("a", ["x"]) + SYNC),
        step(named("a", ["y"]) + FLUSH, "C"), step(SYNC)],
    "pipelined parses with flushes": [
        step(b"".join(parse(sql, f"s{n}") + describe("S", f"s{n}") + FLUSH + named(f"s{n}") + FLUSH
                      for n, sql in enumerate(texts(8))) + SYNC)],
    "unnamed overwritten twice": [
        step(parse("select 1") + parse("select 2") + bind() + execute() + parse("select 3") +
             bind(portal="p") + execute("p") + SYNC),
        step(RUN)],
    "unnamed in later batches": [
        step(parse("select 'mine'") + SYNC), step(RUN), step(describe("S") + RUN), step(RUN)],
    "unnamed with parameters": [
        step(parse("select $1 || 'x'", types=[25]) + SYNC), step(bind(["a"]) + execute() + SYNC)],
    "unnamed ended by a query": [
        step(parse("select 1") + SYNC), step(query("select 2")), step(RUN)],
    "unnamed ended by an empty query": [
        step(parse("select 1") + SYNC), step(query("")), step(describe("S") + SYNC)],
    "unnamed ended by a query that fails": [
        step(parse("select 1") + SYNC), step(query("nonsense")), step(RUN)],
    "unnamed ended by close": [
        step(parse("select 1") + close() + SYNC), step(RUN), step(close() + SYNC)],
    "unnamed ended by a parse that fails": [
        step(parse("select 1") + SYNC), step(parse("nonsense") + SYNC), step(RUN)],
    "unnamed outlives an error of another": [
        step(parse("select 1") + SYNC),
        step(bind(statement="none") + parse("select 2") + close() + SYNC), step(RUN)],
    "unnamed outlives its own error": [
        step(parse("select 1/$1::int") + SYNC), step(bind(["0"]) + execute() + SYNC),
        step(bind(["1"]) + execute() + SYNC)],
    "unnamed outlives deallocate all by protocol": [
        step(parse("deallocate all", "d") + parse("select 1") + named("d") + SYNC), step(RUN)],
    "unnamed in a pipeline of batches": [
        step(b"".join(parse(sql) + RUN for sql in texts(6)), "Z" * 6), step(RUN)],
    "unnamed parsed in one batch, bound in the next": [
        step(parse("select 1") + SYNC + RUN + parse("nonsense") + SYNC + RUN, "ZZZZ")],
    "unnamed there is none": [step(RUN), step(describe("S") + SYNC)],
    "unnamed in a failed transaction": [
        step(parse("select 1") + SYNC), step(query("begin")), step(query("nonsense")),
        step(RUN), step(parse("select 2") + SYNC), step(query("rollback")), step(RUN)],
    "a failed parse, then the name again": [
        step(parse("nonsense", "a") + SYNC), step(named("a") + SYNC),
        step(parse("select 1", "a") + named("a") + SYNC)],
    "an unknown name": [step(named("none") + SYNC), step(describe("S", "none") + SYNC),
                        step(close("S", "none") + SYNC), step(query("select 1"))],
    "an unknown name in a transaction": [
        step(query("begin")), step(named("none") + SYNC), step(query("select 1")),
        step(query("rollback"))],
    "a name of the pooler's": [
        step(parse("select 1", "a") + SYNC),
        step(named("PGDOORMAN_1") + SYNC), step(describe("S", "PGDOORMAN_2") + SYNC),
        step(query('execute "PGDOORMAN_1"')), step(query('deallocate "PGDOORMAN_1"')),
        step(b"".join(close("S", f"PGDOORMAN_{n}") for n in range(1, 9)) + SYNC),
        step(named("a") + SYNC)],
    "a client's name that looks like the pooler's": [
        step(parse("select 1", "PGDOORMAN_1") + named("PGDOORMAN_1") + SYNC),
        step(parse("select 1", "PGDOORMAN_2") + named("PGDOORMAN_2") + SYNC),
        step(query('execute "PGDOORMAN_1"')), step(query('execute "PGDOORMAN_2"')),
        step(named("PGDOORMAN_1") + named("PGDOORMAN_2") + SYNC)],
    "the same name twice": [
        step(parse("select 1", "a") + SYNC), step(parse("select 2", "a") + SYNC),
        step(named("a") + SYNC), step(parse("nonsense", "a") + SYNC),
        step(parse("select 1", "a") + parse("select 3", "b") + SYNC), step(named("b") + SYNC)],
    "the same name twice in a failed transaction": [
        step(parse("select 1", "a") + SYNC), step(query("begin")), step(parse("select 2", "a") +
                                                                       SYNC),
        step(parse("select 2", "a") + SYNC), step(query("rollback"))],
    "names longer than names": [
        step(parse("select 1", "n" * 70) + SYNC), step(named("n" * 63) + SYNC),
        step(named("n" * 80) + SYNC), step(parse("select 2", "n" * 64) + SYNC),
        step(query("execute " + "n" * 63))],
    "cached parse in a failed transaction": [
        step(parse("select 1", "a") + SYNC), step(query("begin")), step(query("nonsense")),
        step(parse("select 1", "b") + SYNC), step(parse("rollback", "r") + named("r") + SYNC),
        step(named("b") + SYNC), step(named("a") + SYNC)],
    "bind in a failed transaction": [
        step(parse("select 1", "a") + parse("rollback", "r") + SYNC), step(query("begin")),
        step(query("nonsense")), step(named("a") + SYNC), step(named("r") + SYNC),
        step(named("a") + SYNC)],
    "a batch behind one that fails": [
        step(parse("select 1", "a") + parse("select 1/$1::int", "d") + SYNC),
        step(named("d", ["0"]) + named("a") + SYNC + named("a") + SYNC, "ZZ")],
    "errors mention the client's name": [
        step(parse("select $1::int", "mine") + SYNC), step(bind(statement="mine") + SYNC),
        step(bind(["x"], statement="mine") + SYNC)],
    "an insert before an unknown statement is undone": [
        step(parse("insert into undone values (1)") + bind() + execute() + FLUSH, "C"),
        step(named("none") + SYNC), step(query("select count(*) from undone"))],
    "a suspended portal outlives what is put in": [
        step(b"".join(parse(sql, f"s{n}") for n, sql in enumerate(texts(4))) +
             parse("select generate_series(1,6)", "g") + SYNC),
        step(bind(portal="p", statement="g") + execute("p", 2) + FLUSH, "s"),
        step(b"".join(named(f"s{n}") for n in range(4)) + execute("p", 2) + execute("p") + SYNC)],
    "the statement of a portal is evicted": [
        step(parse("select generate_series(1,6)", "g") + bind(portal="p", statement="g") +
             parse("select 1", "a") + parse("select 2", "b") + parse("select 3", "c") +
             execute("p") + SYNC)],
    "ddl, then what was prepared before": [
        step(parse("select a from changed", "a") + named("a") + SYNC),
        step(query("alter table changed add b int")), step(named("a") + SYNC)],
    "forty thousand parameters": [
        step(parse("select $1 || $40000", "many", [25] * 40000) + SYNC),
        step(bind(["x"] * 40000, statement="many") + execute() + SYNC)],
    "bytes that are not utf8": [
        step(query("set client_encoding = 'LATIN1'")),
        step(parse(b"select '\xe4'::text, length('\xe4')", "a") + named("a") + SYNC),
        step(query("set client_encoding = 'UTF8'")),
        step(parse("select 'ä'::text, length('ä')", "b") + named("b") + SYNC)],
    "the text's meaning changes with a setting": [
        step(parse("select '1/2/2020'::date::text", "a") + named("a") + SYNC),
        step(query("set datestyle = 'ISO, DMY'")),
        step(parse("select '1/2/2020'::date::text", "b") + named("b") + SYNC),
        step(parse("select '1/2/2020'::date::text") + RUN)],
    "set in the same pipeline": [
        step(query("set datestyle = 'ISO, DMY'") +
             parse("select '1/2/2020'::date::text", "b") + named("b") + SYNC, "ZZ"),
        step(query("set datestyle = 'ISO, MDY'"))],
    "another search_path in a transaction": [
        step(query("begin; set local search_path = other")),
        step(parse("select * from place", "a") + describe("S", "a") + SYNC),
        step(query("commit")),
        step(parse("select * from place", "b") + describe("S", "b") + named("b") + SYNC)],
}

SQL = {
    "sql prepare, execute, deallocate": [
        step(query("prepare s (int) as select $1 + 1")), step(query("execute s(1)")),
        step(named("s", ["5"]) + SYNC), step(query("deallocate s")), step(query("execute s(1)"))],
    "sql prepares what the protocol has": [
        step(parse("select 1", "a") + SYNC), step(query("prepare a as select 2")),
        step(named("a") + SYNC)],
    "the protocol prepares what sql has": [
        step(query("prepare a as select 1")), step(parse("select 2", "a") + SYNC),
        step(named("a") + SYNC), step(close("S", "a") + SYNC), step(named("a") + SYNC),
        step(query("deallocate a"))],
    "sql executes what the protocol has": [
        step(parse("select 'it'", "a") + SYNC), step(query("execute a")), step(query("EXECUTE A")),
        step(query('execute "a"')), step(query('execute "A"')), step(query("explain execute a")),
        step(query("create temp table made as execute a; drop table made"))],
    "sql executes by the extended protocol": [
        step(parse("select 'it' as x", "a") + SYNC),
        step(parse("execute a") + describe("S") + bind() + describe() + execute() + SYNC),
        step(parse("execute a", "e") + SYNC), step(named("e") + SYNC),
        step(close("S", "a") + SYNC), step(named("e") + SYNC)],
    "deallocate in every way of writing": [
        step(parse("select 1", "a") + parse("select 2", "B") + parse('select 3', 'c"d') +
             parse("select 4", "prepare") + parse("select 5", "all") + SYNC),
        step(query("DEALLOCATE PREPARE A")), step(query('deallocate "B"')),
        step(query('deallocate "c""d"')), step(query("deallocate prepare")),
        step(query('deallocate "all"')), step(query("/* x */ deallocate a; -- y")),
        step(named("a") + SYNC), step(named("B") + SYNC), step(named("prepare") + SYNC)],
    "deallocate before what no buffer holds": [
        step(parse("select 1", "a") + SYNC),
        step(query("deallocate a; select 1 /* " + "long " * 40_000 + "*/")),
        step(named("a") + SYNC)],
    "deallocate in a long text": [
        step(parse("select 1", "a") + SYNC),
        step(query("/* " + "long " * 30 + "*/ deallocate\n  -- and more\n  prepare\n\ta")),
        step(named("a") + SYNC)],
    "deallocate where a begin has just been sent": [
        step(parse("select 1", "a") + SYNC), step(query("begin") + query("deallocate a"), "ZZ"),
        step(query("rollback"))],
    "deallocate an unknown name": [
        step(query("deallocate nothing")), step(query("begin")), step(query("deallocate nothing")),
        step(query("rollback"))],
    "deallocate by the extended protocol": [
        step(parse("select 1", "a") + SYNC),
        step(parse("deallocate a") + bind() + execute() + SYNC), step(named("a") + SYNC),
        step(parse("select 1", "a") + parse("deallocate a", "d") + named("d") +
             parse("select 2", "a") + named("a") + SYNC), step(named("a") + SYNC)],
    "deallocate in transactions": [
        step(parse("select 1", "a") + SYNC), step(query("begin")), step(query("deallocate a")),
        step(named("a") + SYNC), step(query("rollback")), step(named("a") + SYNC)],
    "deallocate in a failed transaction": [
        step(parse("select 1", "a") + SYNC), step(query("begin")), step(query("nonsense")),
        step(query("deallocate a")), step(query("execute a")), step(query("rollback")),
        step(query("execute a")), step(query("deallocate a"))],
    "several in one query": [
        step(parse("select 1", "a") + parse("select 2", "b") + SYNC),
        step(query("deallocate a; select 'x;y'; deallocate b; prepare a as select 7; execute a")),
        step(query("execute b")), step(named("a") + SYNC), step(query("deallocate a"))],
    "several in one query, one fails": [
        step(parse("select 1", "a") + parse("select 2", "b") + SYNC),
        step(query("deallocate a; select 1/0; deallocate b")), step(named("a") + SYNC),
        step(named("b") + SYNC)],
    "deallocate all": [
        step(parse("select 1", "a") + parse("select 2") + SYNC), step(query("deallocate all")),
        step(named("a") + SYNC), step(RUN), step(parse("select 1", "a") + named("a") + SYNC)],
    "deallocate all by the extended protocol": [
        step(parse("select 1", "a") + SYNC),
        step(parse("deallocate all") + RUN), step(named("a") + SYNC),
        step(parse("select 1", "a") + named("a") + SYNC)],
    "deallocate all in a transaction": [
        step(parse("select 1", "a") + SYNC), step(query("begin")), step(query("deallocate all")),
        step(parse("select 1", "a") + named("a") + SYNC), step(query("rollback")),
        step(named("a") + SYNC)],
    "discard all": [
        step(parse("select 1", "a") + SYNC), step(query("discard all")), step(named("a") + SYNC),
        step(query("begin")), step(query("discard all")), step(query("rollback"))],
    "discard all by the extended protocol": [
        step(parse("select 1", "a") + parse("select 2", "b") + SYNC),
        step(parse("discard all") + RUN), step(named("a") + SYNC),
        step(parse("select 1", "a") + parse("select 2", "b") + named("b") + SYNC),
        step(query("begin")), step(parse("discard all") + RUN), step(query("rollback")),
        step(named("a") + SYNC)],
    "discard all and what follows in one write": [
        step(parse("select 1", "a") + SYNC),
        step(query("discard all") + parse("select 2", "a") + named("a") + SYNC, "ZZ")],
    "sql and the protocol in one write": [
        step(parse("select 1", "a") + SYNC + query("execute a") + query("deallocate a") +
             parse("select 2", "a") + named("a") + SYNC, "ZZZZ")],
    "execute of what cannot be analysed any more": [
        step(parse("select * from gone", "a") + SYNC),
        step(query("drop table gone")), step(query("execute a")), step(query("select 1"))],
}

STATEMENTS = {**CASES, **SQL}

# The tables that the cases change, as they are before each.
PREPARATION = """
    drop table if exists undone, changed, gone, place; drop schema if exists other cascade;
    create table undone (a int); create table gone (a int);
    create table changed (a int); insert into changed values (1);
    create schema other; create table place (a int); create table other.place (b int, c int)"""


def without_table_numbers(answer):
    """RowDescription without the numbers of its tables, which each creation gives anew."""
    result = []
    for kind, body in answer:
        if kind == "T":
            at, plain = 2, body[:2]
            while at < len(body):
                end = body.index(b"\0", at) + 1
                plain += body[at:end] + body[end + 4:end + 18]
                at = end + 18
            body = plain
        result.append((kind, body))
    return result


@pytest.fixture(scope="module")
def poolers(shared_pooler):
    started = {}

    def get(cache):
        if cache not in started:
            names = [(size, share) for size in (1, 3) for share in (0, 1)]
            started[cache] = shared_pooler(
                settings={"max_prepared_statements": cache},
                databases={f"p{size}s{share}":
                           f"pool_size={size} share_unnamed_statements={share}"
                           for size, share in names})
        return started[cache]

    return get


@pytest.fixture(scope="module")
def expected(postgres):
    found = {}

    def get(name):
        if name not in found:
            with wire.connect(postgres) as direct:
                direct.ask(PREPARATION)
            answers = oracle.talk(postgres, STATEMENTS[name], "postgres")
            found[name] = [without_table_numbers(answer) for answer in answers]
            assert ("silence", b"") not in sum(found[name], []), "the case itself is wrong"
        return found[name]

    return get


def disturb(other):
    """Another client of the pool leaves its traces on the server that it gets."""
    other.send(parse("select 'other'", "a") + parse("select 'another'") + SYNC +
               parse("select 'third'", "a") + SYNC + query("deallocate a"))
    other.read_until("ZZZ")
    other.send(parse("select 'another'") + parse("select generate_series(1,2)", "x") +
               bind(portal="p", statement="x") + execute("p", 1) + SYNC + close("S", "x") + SYNC)
    other.read_until("ZZ")


@pytest.mark.parametrize("size,cache,share", CONFIGURATIONS)
def test_same_answers(poolers, expected, size, cache, share):
    pooler = poolers(cache)
    problems = []
    for name, steps in STATEMENTS.items():
        pinned = "sql prepare" in name or "the protocol prepares" in name or "prepare a as" in str(
            steps)
        with wire.connect(pooler, database=f"p{size}s{share}") as client, \
                wire.connect(pooler, database=f"p{size}s{share}") as other:
            other.ask(PREPARATION)
            found = []
            for data, ends in steps:
                client.send(data)
                found.append(without_table_numbers(
                    oracle.comparable(oracle.wait_for(client, ends))))
                free = found[-1] and found[-1][-1] == ("Z", b"I")
                if free and not (pinned and size == 1):
                    disturb(other)
        try:
            oracle.compare(expected(name), found, name)
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n\n".join(problems)


def test_search_paths_of_two_clients(postgres, poolers):
    """Case 18: one text, two meanings."""
    pooler = poolers(100)
    with wire.connect(postgres) as direct:
        direct.rows("create schema if not exists two; drop table if exists here, two.here; "
                    "create table here (a int); create table two.here (b text, c text)")
    with wire.connect(pooler, database="p1s1") as one, \
            wire.connect(pooler, database="p1s1", search_path="two") as two:
        for _ in range(2):
            for client, columns in ((one, 1), (two, 2)):
                client.send(parse("select * from here") + describe("S") + RUN)
                messages = client.read_until("Z")
                shape = [struct.unpack("!H", body[:2])[0] for kind, body in messages
                         if kind == "T"]
                assert shape == [columns], oracle.short(oracle.comparable(messages))


@pytest.mark.parametrize("what", [parse("select 1", "x"), parse("select 1", "x") + bind(
    statement="x"), parse("select 1", "x") + named("x")], ids=["parse", "bind", "execute"])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_leaving_without_sync(poolers, what, reset):
    """Case 11: what was half done leaves no trace for others."""
    pooler = poolers(2)
    for part in (what, what[:-1]):
        leaver = wire.connect(pooler, database="p1s0")
        if reset:
            leaver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     struct.pack("ii", 1, 0))
        leaver.send(part)
        leaver.close()
        with wire.connect(pooler, database="p1s0") as client:
            client.send(named("x") + SYNC)
            assert [kind for kind, _ in client.read_until("Z") if kind in "EZ"] == ["E", "Z"]
            client.send(parse("select 1", "x") + named("x") + SYNC)
            assert "".join(kind for kind, _ in client.read_until("Z")) == "12DCZ"


def test_many_clients_and_statements(pooler):
    """Case 22: far more statements than servers keep."""
    doorman = pooler(settings={"max_prepared_statements": 300, "default_pool_size": 2})
    clients = [wire.connect(doorman, patience=60) for _ in range(16)]
    count = 3000
    together = b"".join(parse(f"select {n}", f"s{n}") for n in range(count)) + SYNC
    for client in clients:
        client.send(together)
        assert "".join(kind for kind, _ in client.read_until("Z")) == "1" * count + "Z"
    # Each client some of them, so that what one has had evicted the next one needs.
    used = [range(number, count, 10 + number) for number in range(len(clients))]
    for client, numbers in zip(clients, used):
        client.send(b"".join(named(f"s{n}") for n in numbers) + SYNC)
    for client, numbers in zip(clients, used):
        rows = [body[6:] for kind, body in client.read_until("Z") if kind == "D"]
        assert rows == [str(n).encode() for n in numbers]
        client.close()


def resident(doorman):
    with open(f"/proc/{doorman.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_prepares_without_end(pooler):
    doorman = pooler(settings={"max_client_prepared_statements": 100,
                               "max_client_statement_memory": 1 << 20})
    with wire.connect(doorman) as hostile, wire.connect(doorman) as other:
        sent = b"".join(parse(f"select {n}", f"s{n}") + SYNC for n in range(102))
        hostile.send(sent)
        kinds = [(kind, body) for kind, body in hostile.read_until("Z" * 102) if kind in "1E"]
        assert "".join(kind for kind, _ in kinds) == "1" * 100 + "EE"
        assert wire.fields(kinds[-1][1])["C"] == "53400"
        assert wire.fields(kinds[-1][1])["S"] == "ERROR"
        assert hostile.rows("select 1") == ["1"]
        other.send(parse("select 5", "mine") + named("mine") + SYNC)
        assert "".join(kind for kind, _ in other.read_until("Z")) == "12DCZ"
        other.send(parse("select '" + "x" * (1 << 20) + "'", "large") + SYNC)
        errors = [wire.fields(body)["C"] for kind, body in other.read_until("Z") if kind == "E"]
        assert errors == ["53200"]
        other.send(named("mine") + SYNC)
        assert "".join(kind for kind, _ in other.read_until("Z")) == "2DCZ"


def test_many_clients_of_one_pool_that_prepare_without_end(pooler):
    """What they may take together is limited; who needs no more memory, and other pools, notice
    nothing; a client that leaves makes room."""
    doorman = pooler(settings={"max_pool_statement_memory": 1 << 20, "workers": 2},
                     databases={"postgres": "", "quiet": ""})
    text = "select '" + "x" * 100_000 + "', {}"
    with wire.connect(doorman) as neighbour, wire.connect(doorman, database="quiet") as quiet:
        hostile = [wire.connect(doorman) for _ in range(4)]
        neighbour.send(parse(text.format(0), "mine") + parse("select 7", "a") + SYNC)
        assert "".join(kind for kind, _ in neighbour.read_until("Z")) == "11Z"
        codes = []
        for number in range(1, 21):
            client = hostile[number % len(hostile)]
            client.send(parse(text.format(number), f"s{number}") + SYNC)
            codes += [wire.fields(body)["C"] for kind, body in client.read_until("Z")
                      if kind == "E"]
        assert codes == ["53200"] * 11  # 10 of 100 KB each have had room in 1 MB
        for client in hostile:  # the text is there already, or it is executed only
            client.send(parse(text.format(0), "theirs") + named("theirs") + SYNC)
            assert "".join(kind for kind, _ in client.read_until("Z")) == "12DCZ"
        neighbour.send(named("mine") + parse("select 7", "b") + named("b") + SYNC)
        assert "".join(kind for kind, _ in neighbour.read_until("Z")) == "2DC12DCZ"
        quiet.send(parse(text.format(20), "s") + named("s") + SYNC)
        assert "".join(kind for kind, _ in quiet.read_until("Z")) == "12DCZ"
        for client in hostile:
            client.close()
        process.until(lambda: statements(doorman)["texts"] == 2, "their texts are forgotten")
        neighbour.send(parse(text.format(20), "now") + SYNC)
        assert "".join(kind for kind, _ in neighbour.read_until("Z")) == "1Z"


def statements(doorman, database="postgres"):
    """The pool's line of SHOW STATEMENTS."""
    line, = [row for row in doorman.show("STATEMENTS") if row["database"] == database]
    return {name: int(value) for name, value in line.items() if name not in ("database", "user")}


def test_what_is_counted_of_statements(pooler):
    doorman = pooler(settings={"default_pool_size": 1, "max_prepared_statements": 2,
                               "workers": 1})
    counted = ["texts", "bytes", "hits", "misses", "evictions", "parses_saved"]

    def grown():
        after = statements(doorman)
        result = [after[name] - before[name] for name in counted]
        before.update(after)
        return result

    with wire.connect(doorman) as one, wire.connect(doorman) as two:
        one.rows("select 1")
        before = statements(doorman)
        assert list(before) == counted and not any(before.values())
        size = len("select 1") + 3  # and its parameter types
        one.send(parse("select 1", "a") + named("a") + SYNC)
        one.read_until("Z")
        assert grown() == [1, size + 1, 1, 1, 0, 0]
        two.send(parse("select 1", "bb") + named("bb") + SYNC)  # the server has it
        two.read_until("Z")
        assert grown() == [0, 2, 2, 0, 0, 1]
        two.send(parse("select 2", "c") + parse("select 3", "d") + SYNC)  # it keeps two of them
        two.read_until("Z")
        assert grown() == [2, 2 * (size + 1), 0, 2, 1, 0]
        one.send(named("a") + SYNC)  # and has to be given the first again
        one.read_until("Z")
        assert grown() == [0, 0, 0, 1, 1, 0]
        two.ask("deallocate all")
        assert grown()[:2] == [-2, -2 * (size + 1) - 2]


def test_an_error_costs_no_reset(pooler):
    """Neither in a batch nor after a Flush: the server and what it has of statements stay."""
    doorman = pooler(settings={"default_pool_size": 1})
    with wire.connect(doorman) as client:
        client.send(parse("select 1 / $1::int", "d") + parse("select pg_backend_pid()", "pid") +
                    SYNC)
        client.read_until("Z")

        def pid():
            client.send(named("pid") + SYNC)
            return [body[6:] for kind, body in client.read_until("Z") if kind == "D"]

        before, misses = pid(), statements(doorman)["misses"]
        for ends in (SYNC, FLUSH):
            client.send(named("d", ["0"]) + ends)
            client.read_until("E")
            client.send(SYNC if ends == FLUSH else b"")
            client.read_until("Z")
            client.send(named("d", ["1"]) + SYNC)
            assert "".join(kind for kind, _ in client.read_until("Z")) == "2DCZ"
            assert pid() == before
        assert statements(doorman)["misses"] == misses


def test_statements_stay_shared_after_a_flush(pooler):
    doorman = pooler(settings={"default_pool_size": 1})
    clients = [wire.connect(doorman) for _ in range(3)]
    for turn in range(3):
        for place, client in enumerate(clients):
            name = f"n{turn}_{place}"
            client.send(parse("select $1::int + 5", name) + describe("S", name) + FLUSH)
            client.read_until("T")
            client.send(named(name, ["2"]) + SYNC)
            assert "".join(kind for kind, _ in client.read_until("Z")) == "2DCZ"
    assert clients[0].rows("select count(*) from pg_prepared_statements") == ["1"]
    counted = statements(doorman)
    assert (counted["texts"], counted["misses"], counted["parses_saved"]) == (1, 1, 8)
    for client in clients:
        client.close()


@pytest.mark.parametrize("cache", [1, 2, 100])
def test_a_pipeline_larger_than_all_buffers(poolers, cache):
    """Case 26: statements are put in and evicted while neither end reads, for as long as it can."""
    value = b"v" * 50_000
    rounds = 300
    with wire.connect(poolers(cache), database="p1s0", patience=60) as client:
        client.send(b"".join(parse(f"select $1 || '{n}'", f"s{n}", [25]) for n in range(3)) + SYNC)
        client.read_until("Z")
        chunks = [named(f"s{n % 3}", [value]) + (SYNC if n % 50 == 49 else b"")
                  for n in range(rounds)]
        writer = threading.Thread(target=lambda: [client.send(chunk) for chunk in chunks])
        writer.start()
        rows = [body[6:] for kind, body in client.read_until("Z" * (rounds // 50)) if kind == "D"]
        writer.join()
        assert [(len(row), row[-1:]) for row in rows] == [
            (len(value) + 1, str(n % 3).encode()) for n in range(rounds)]


def test_a_batch_that_never_ends(pooler):
    """Case 25: Parse and Bind without a Sync fill no memory."""
    doorman = pooler()
    with wire.connect(doorman) as client:
        before = resident(doorman)
        text = "select '" + "x" * 200 + "'"
        many = (parse(text) + bind()) * 500
        client.socket.settimeout(1)
        sent = 0
        try:
            for _ in range(60):
                client.send(many)
                sent += len(many)
        except TimeoutError:
            pass  # neither the pooler nor the server reads on
        assert resident(doorman) - before < 16 << 20, sent


def test_a_server_that_was_changed(pooler):
    """Case 19: the server that a statement was parsed on is gone at the Bind."""
    doorman = pooler(settings={"default_pool_size": 1})
    with wire.connect(doorman) as client, doorman.console() as console:
        client.send(parse("select 1", "a") + parse("select 'mine'") + SYNC)
        client.read_until("Z")
        pid = client_pid(doorman)
        console.execute("RECONNECT")
        process.until(lambda: client_pid(doorman) != pid, "another server is used")
        client.send(named("a") + RUN)
        assert "".join(kind for kind, _ in client.read_until("Z")) == "2DC2DCZ"


def client_pid(doorman):
    with wire.connect(doorman) as client:
        return client.rows("select pg_backend_pid()")[0]


def test_two_sql_preparers_have_two_servers(pooler):
    doorman = pooler(settings={"default_pool_size": 2})
    with wire.connect(doorman) as one, wire.connect(doorman) as two:
        for client in (one, two):
            client.rows("prepare s as select pg_backend_pid()")
        pids = [client.rows("execute s") for client in (one, two)]
        assert pids[0] != pids[1]
        for client, pid in zip((one, two), pids):
            assert client.rows("select 1") == ["1"]
            assert client.rows("execute s") == pid
            client.rows("deallocate s")
    with wire.connect(doorman) as third:
        assert third.rows("select count(*) from pg_prepared_statements where from_sql") == ["0"]


def test_shared_unnamed_statements_heal_unseen(pooler):
    """Case 21: a client that prepares nothing by name never learns that others share its text."""
    doorman = pooler(settings={"default_pool_size": 1, "share_unnamed_statements": 1})
    with wire.connect(doorman) as one, wire.connect(doorman) as two:
        one.rows("drop table if exists unseen; create table unseen (a int)")
        for columns in range(1, 4):
            for client in (one, two):
                for _ in range(2):
                    client.send(parse("select * from unseen") + bind() + describe() + execute() +
                                SYNC)
                    messages = client.read_until("Z")
                    assert "".join(kind for kind, _ in messages) == "12TCZ"
                    assert struct.unpack("!H", messages[2][1][:2])[0] == columns
            one.rows(f"alter table unseen add b{columns} int")


def test_changed_tables_heal(pooler):
    """Case 21: after a DDL whoever prepares anew gets the new shape, at the latest after one
    error."""
    doorman = pooler(settings={"default_pool_size": 1})
    with wire.connect(doorman) as one, wire.connect(doorman) as two:
        one.rows("drop table if exists heals; create table heals (a int)")
        for client in (one, two):
            client.send(parse("select * from heals", "a") + named("a") + SYNC)
            client.read_until("Z")
        one.rows("alter table heals add b int")
        one.send(named("a") + SYNC)
        codes = [wire.fields(body)["C"] for kind, body in one.read_until("Z") if kind == "E"]
        assert codes == ["0A000"]
        one.send(close("S", "a") + parse("select * from heals", "a") + named("a") + SYNC)
        assert "E" not in [kind for kind, _ in one.read_until("Z")]
        two.send(close("S", "a") + parse("select * from heals", "a") + named("a") + SYNC)
        assert "E" not in [kind for kind, _ in two.read_until("Z")]
