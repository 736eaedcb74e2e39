"""The conversations of the oracle, in the order of the protocol's chapters."""

from oracle import CANCEL, TRANSACTIONS, Case
from wire import (COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute,
                  frame, function_call, parse, query)


def simple(name, *queries, **options):
    return Case(name, [(query(sql), "Z") for sql in queries], **options)


def one(name, data, ends="Z", **options):
    return Case(name, [(data, ends)], **options)


SELECT = parse("select $1::int4 + 1") + bind(["41"]) + describe() + execute()
FAILS = parse("select 1 / $1::int4") + bind(["0"]) + describe() + execute()
COPY_TABLE = "create temp table c (a int, b text) on commit drop; "

SIMPLE = [
    simple("select", "select 1 as one, null as nothing, 'text' as t", cut=True),
    simple("no rows", "select 1 where false"),
    simple("empty query", "", cut=True),
    simple("only a semicolon", ";"),
    simple("only a comment", "-- nothing"),
    simple("several statements", "select 1; select 2; select 3"),
    simple("several, one fails", "select 1; select 1/0; select 3"),
    simple("several with empty ones", ";select 1;;select 2;"),
    simple("syntax error", "selec 1"),
    simple("error with position", "select * from no_such_table_here"),
    simple("error, then good", "select 1/0", "select 2"),
    simple("raised fields", "do $$ begin raise exception 'why' using errcode = '45678', "
           "detail = 'd', hint = 'h', column = 'c', constraint = 'k', table = 't', "
           "schema = 's', datatype = 'y'; end $$"),
    simple("bytes that are not utf8", b"select '\xff'"),
    simple("wide text", "select repeat('x', 100000)"),
    simple("many rows", "select g, md5(g::text) from generate_series(1, 20000) g"),
    simple("many columns", "select " + ", ".join(f"{n} as c{n}" for n in range(1600))),
    simple("notice", "do $$ begin raise notice 'hello %', 1; raise warning 'there'; end $$"),
    simple("notices and rows", "do $$ begin raise notice 'a'; end $$; select 1; "
           "do $$ begin raise notice 'b'; end $$"),
    simple("implicit transaction", "create temp table i on commit drop as select 1 as x; "
           "select x + 0 as x from i"),
    one("two queries in one write", query("select 1") + query("select 2"), "ZZ", cut=True),
    one("a hundred queries in one write", query("select 1") * 100, "Z" * 100),
]

BLOCKS = [
    simple("commit", "begin", "select 1", "commit", modes=TRANSACTIONS),
    simple("rollback", "begin", "select 1", "rollback", modes=TRANSACTIONS),
    simple("error in block", "begin", "select 1/0", "select 1", "rollback", modes=TRANSACTIONS),
    simple("commit of a failed block", "begin", "select 1/0", "commit", "select 3",
           modes=TRANSACTIONS),
    simple("savepoints", "begin", "savepoint a", "select 1/0", "rollback to a", "select 1",
           "commit", modes=TRANSACTIONS),
    simple("begin twice", "begin", "begin", "commit", "commit", modes=TRANSACTIONS),
    simple("commit and chain", "begin", "commit and chain", "rollback", modes=TRANSACTIONS),
    simple("whole block in one query", "begin; select 1; commit; select 2"),
    simple("block begun in a pipeline of queries", "select 1; begin; select 2", "commit",
           modes=TRANSACTIONS),
    simple("set local", "begin", "set local datestyle = 'German'", "select date '2020-02-01'",
           "commit", "select date '2020-02-01'", modes=TRANSACTIONS),
    simple("cursor", "begin", "declare c cursor for select generate_series(1, 10)", "fetch 3 c",
           "fetch all c", "close c", "commit", modes=TRANSACTIONS),
    simple("reported parameter", "set datestyle = 'German'", "show datestyle",
           "set datestyle = 'ISO, MDY'", modes=TRANSACTIONS),
    simple("reported parameter rolled back", "begin", "set application_name = 'x'", "rollback",
           "show application_name", modes=TRANSACTIONS),
    simple("sql prepare", "prepare s as select 1", "execute s", "deallocate s", modes=("session",)),
    simple("listen and notify", "listen chan", "notify chan, 'load'", "unlisten *",
           modes=("session",)),
]

EXTENDED = [
    one("unnamed", SELECT + SYNC, cut=True),
    one("named", parse("select 7", "s1") + bind(statement="s1") + execute() + close("S", "s1") +
        SYNC, cut=True),
    Case("named, later syncs", [(parse("select $1::text", "s2") + SYNC, "Z"),
                                (describe("S", "s2") + SYNC, "Z"),
                                (bind(["x"], statement="s2") + execute() + SYNC, "Z"),
                                (bind(["y"], statement="s2") + execute() + SYNC, "Z"),
                                (close("S", "s2") + SYNC, "Z"),
                                (close("S", "s2") + SYNC, "Z")]),
    Case("flush", [(parse("select 1") + FLUSH, "1"), (bind() + FLUSH, "2"),
                   (describe() + FLUSH, "T"), (execute() + FLUSH, "C"), (SYNC, "Z")]),
    one("sync alone", SYNC, cut=True),
    one("several syncs alone", SYNC * 5, "Z" * 5),
    one("flush alone, then sync", FLUSH + SYNC),
    one("several syncs in one write", (SELECT + SYNC) * 3, "ZZZ", cut=True),
    one("pipeline without inner syncs", SELECT * 5 + SYNC),
    one("error ends the rest up to sync", SELECT + FAILS + SELECT + SELECT + SYNC),
    one("error in the middle of syncs", SELECT + SYNC + FAILS + SYNC + SELECT + SYNC, "ZZZ"),
    one("skipped parse, used later", FAILS + parse("select 8", "s3") + SYNC +
        bind(statement="s3") + execute() + SYNC, "ZZ"),
    Case("failed parse leaves nothing", [(parse("selec", "s4") + SYNC, "Z"),
                                         (bind(statement="s4") + SYNC, "Z"),
                                         (parse("select 9", "s4") + SYNC, "Z"),
                                         (bind(statement="s4") + execute() + SYNC, "Z")]),
    one("unknown statement", bind(statement="never") + execute() + SYNC),
    one("unknown statement described", describe("S", "never") + SYNC),
    one("unknown portal", execute("never") + SYNC),
    one("unknown closed", close("S", "never") + close("P", "never") + SYNC),
    Case("statement named twice", [(parse("select 1", "s5") + SYNC, "Z"),
                                   (parse("select 2", "s5") + SYNC, "Z"),
                                   (bind(statement="s5") + execute() + SYNC, "Z")]),
    one("wrong number of values", parse("select $1::int4") + bind([]) + SYNC),
    one("value that does not parse", parse("select $1::int4") + bind(["abc"]) + execute() + SYNC),
    one("binary formats", parse("select $1::int4, $2::text", types=(23, 25)) +
        bind([b"\0\0\0\7", b"x"], formats=(1, 0), results=(1, 1)) + describe() + execute() + SYNC),
    one("null value", parse("select $1::text is null") + bind([None]) + execute() + SYNC),
    one("empty statement", parse("") + bind() + describe() + execute() + SYNC),
    one("no result", parse("set local work_mem = '1MB'") + bind() + describe() + execute() + SYNC),
    one("row limit, cut by sync", parse("select generate_series(1, 5)") + bind() + execute(rows=2) +
        SYNC),
    one("row limit, same pipeline", parse("select generate_series(1, 5)") + bind() +
        execute(rows=2) + execute(rows=2) + execute(rows=2) + SYNC),
    Case("portals in a block", [
        (query("begin"), "Z"),
        (parse("select generate_series(1, 9)") + bind(portal="p1") + execute("p1", 2) + SYNC, "Z"),
        (parse("select 'other'") + bind(portal="p2") + execute("p2") + SYNC, "Z"),
        (execute("p1", 3) + SYNC, "Z"), (describe("P", "p1") + execute("p1") + SYNC, "Z"),
        (close("P", "p1") + execute("p1") + SYNC, "Z"), (query("rollback"), "Z")],
         modes=TRANSACTIONS),
    Case("block by extended messages", [
        (parse("begin") + bind() + execute() + SYNC, "Z"), (SELECT + SYNC, "Z"),
        (FAILS + SYNC, "Z"), (SELECT + SYNC, "Z"),
        (parse("rollback") + bind() + execute() + SYNC, "Z")], modes=TRANSACTIONS),
    one("block in one pipeline", parse("begin") + bind() + execute() + SELECT +
        parse("commit") + bind() + execute() + SYNC),
    one("simple query after parse", parse("select 1") + query("select 2"), "Z"),
    one("simple query between syncs", SELECT + SYNC + query("select 2") + SELECT + SYNC, "ZZZ"),
    one("query ends the skipping? no", FAILS + query("select 2") + SYNC, "Z"),
    one("5000 executes in one write", parse("select $1::int4", "m") +
        (bind(["1"], statement="m") + execute()) * 5000 + SYNC),
    one("function call", function_call(1257, b"abc"), cut=True),  # textlen
    one("function call fails", function_call(999999, b"abc")),
    one("notice in extended", parse("do $$ begin raise notice 'n'; end $$") + bind() + execute() +
        SYNC),
]

COPY = [
    Case("copy in", [(query(COPY_TABLE + "copy c from stdin"), "G"),
                     (copy_data("1\tx\n") + copy_data("2\ty\n") + COPY_DONE, "Z")]),
    one("copy in, one write", query(COPY_TABLE + "copy c from stdin") + copy_data("1\tx\n2\ty\n") +
        COPY_DONE, cut=True),
    one("copy in cut within rows", query(COPY_TABLE + "copy c from stdin") + copy_data("1\t") +
        copy_data("x\n2") + copy_data("\ty\n") + COPY_DONE),
    one("copy in, end mark", query(COPY_TABLE + "copy c from stdin") + copy_data("1\tx\n\\.\n") +
        COPY_DONE),
    one("copy in with flush and sync inside", query(COPY_TABLE + "copy c from stdin") +
        copy_data("1\tx\n") + FLUSH + SYNC + copy_data("2\ty\n") + COPY_DONE),
    one("copy fail", query(COPY_TABLE + "copy c from stdin") + copy_data("1\tx\n") +
        copy_fail("I changed my mind"), cut=True),
    Case("server error in copy, late data and done", [
        (query(COPY_TABLE + "copy c from stdin") + copy_data("bad\tx\n") + copy_data("1\tx\n") +
         COPY_DONE, "Z"), (query("select 1"), "Z")]),
    Case("server error in copy, late done after the answer", [
        (query(COPY_TABLE + "copy c from stdin") + copy_data("bad\tx\n") + copy_data("1\tx\n"),
         "Z"), (COPY_DONE + query("select 1"), "Z")]),
    Case("late copy fail", [(query(COPY_TABLE + "copy c from stdin") + copy_data("bad\n"), "Z"),
                            (copy_fail("late") + query("select 1"), "Z")]),
    Case("copy messages without a copy", [
        (copy_data("x") + COPY_DONE + copy_fail("y") + query("select 1"), "Z")]),
    Case("query instead of copy data", [(query(COPY_TABLE + "copy c from stdin"), "G"),
                                        (query("select 1"), "Z"), (query("select 2"), "Z")]),
    one("copy, then more statements", query(COPY_TABLE + "copy c from stdin; select count(*) from "
        "c; copy c to stdout") + copy_data("5\tq\n") + COPY_DONE),
    one("two copies in one query", query(COPY_TABLE + "copy c from stdin; copy c from stdin; "
        "select a + 0 as a, b || '' as b from c") + copy_data("1\tx\n") +
        COPY_DONE + copy_data("2\ty\n") + COPY_DONE),
    one("copy out", query("copy (select g from generate_series(1, 1000) g) to stdout"), cut=True),
    one("copy out binary", query("copy (select 1, 'x') to stdout (format binary)")),
    one("copy out fails late", query("copy (select 1 / (500 - g) from generate_series(1, 1000) g) "
                                     "to stdout")),
    one("extended copy out", parse("copy (select 1) to stdout") + bind() + describe() + execute() +
        SYNC),
    Case("extended copy in", [
        (query("begin; " + COPY_TABLE), "Z"),
        (parse("copy c from stdin") + bind() + describe() + execute() + SYNC, "G"),
        (copy_data("1\tx\n") + COPY_DONE + SYNC, "Z"), (query("rollback"), "Z")],
         modes=TRANSACTIONS),
    Case("extended copy in without early sync", [
        (query("begin; " + COPY_TABLE), "Z"),
        (parse("copy c from stdin") + bind() + execute() + FLUSH, "G"),
        (copy_data("1\tx\n") + COPY_DONE + SYNC, "Z"), (query("rollback"), "Z")],
         modes=TRANSACTIONS),
    Case("extended copy in, one write", [
        (query("begin; " + COPY_TABLE), "Z"),
        (parse("copy c from stdin") + bind() + execute() + copy_data("1\tx\n") + COPY_DONE + SYNC,
         "Z"), (query("select a + 0 as a, b || '' as b from c"), "Z"),
        (query("rollback"), "Z")], modes=TRANSACTIONS),
    Case("extended copy fail", [
        (query("begin; " + COPY_TABLE), "Z"),
        (parse("copy c from stdin") + bind() + execute() + FLUSH, "G"),
        (copy_fail("no") + SYNC, "Z"), (query("rollback"), "Z")], modes=TRANSACTIONS),
    Case("extended copy, server error", [
        (query("begin; " + COPY_TABLE), "Z"),
        (parse("copy c from stdin") + bind() + execute() + FLUSH, "G"),
        (copy_data("bad\n") + copy_data("1\tx\n") + COPY_DONE + SYNC, "Z"),
        (query("rollback"), "Z")], modes=TRANSACTIONS),
]

# A query that is to be cancelled says by a notice that it runs; PostgreSQL sends notices at once.
RUNS = "do $$ begin raise notice 'it runs'; perform pg_sleep(60); end $$"
RUNS_EXTENDED = parse(RUNS) + bind() + execute()

CANCELLED = [
    Case("cancel", [(query(RUNS), "N"), (CANCEL, "Z"), (query("select 1"), "Z")]),
    Case("cancel in a query of several", [
        (query("select 1; " + RUNS + "; select 2"), "N"), (CANCEL, "Z"), (query("select 1"), "Z")]),
    Case("cancel with queries behind it", [
        (query(RUNS) + query("select 1") + query("select 2"), "N"), (CANCEL, "ZZZ")]),
    Case("cancel, extended", [(RUNS_EXTENDED + SYNC, "N"), (CANCEL, "Z"), (SELECT + SYNC, "Z")]),
    Case("cancel, flushed", [(RUNS_EXTENDED + FLUSH, "N"), (CANCEL, "E"),
                             (SELECT + SYNC + SELECT + SYNC, "ZZ")]),
    Case("cancel in a pipeline", [
        (SELECT + SYNC + RUNS_EXTENDED + SELECT + SYNC + SELECT + SYNC, "ZN"), (CANCEL, "ZZ")]),
    Case("cancel of a named statement", [
        (parse("select 7", "s7") + SYNC, "Z"),
        (parse(RUNS, "s8") + bind(statement="s8") + execute() + close("S", "s7") + SYNC, "N"),
        (CANCEL, "Z"), (bind(statement="s7") + execute() + close("S", "s7") + SYNC, "Z"),
        (close("S", "s8") + SYNC, "Z")]),
    Case("cancel in a block", [
        (query("begin"), "Z"), (query(RUNS), "N"), (CANCEL, "Z"), (query("select 1"), "Z"),
        (query("rollback"), "Z"), (query("select 2"), "Z")], modes=TRANSACTIONS),
    Case("cancel behind a savepoint", [
        (query("begin"), "Z"), (query("savepoint a"), "Z"), (RUNS_EXTENDED + SYNC, "N"),
        (CANCEL, "Z"), (query("rollback to a"), "Z"), (query("select 1"), "Z"),
        (query("commit"), "Z")], modes=TRANSACTIONS),
    Case("cancel of a copy out", [
        (query("copy (select slow()) to stdout"), "N"), (CANCEL, "Z"),
        (query("select 1"), "Z")]),
    Case("cancel of a copy in", [
        (query("create temp table k (a int, b int default slow()); copy k (a) from stdin") + copy_data("1\n"), "N"),
        (CANCEL, "Z"), (copy_data("2\n") + COPY_DONE + query("select 1"), "Z")]),
    Case("cancel of an extended copy in", [
        (query("begin; create temp table k (a int, b int default slow())"), "Z"),
        (parse("copy k (a) from stdin") + bind() + execute() + FLUSH, "G"),
        (copy_data("1\n"), "N"), (CANCEL, "E"),
        (copy_data("2\n") + COPY_DONE + SYNC, "Z"), (query("rollback"), "Z")],
         modes=TRANSACTIONS),
    Case("two cancels", [(query(RUNS), "N"), (CANCEL, "Z"), (query(RUNS), "N"), (CANCEL, "Z")]),
]

# What ends the connection, or should: messages no client may send. Where the pooler cannot pass
# them on without losing a server, the words of the refusal are its own.
BAD = [
    one("terminate", frame("X"), "."),
    one("unknown message type", frame("z", b"??"), ".", refused=True),
    one("length below four", b"Q\0\0\0\3", ".", refused=True),
    one("length of zero", b"Q\0\0\0\0", ".", refused=True),
    one("negative length", b"Q\xff\xff\xff\xff", ".", refused=True),
    one("password without being asked", frame("p", b"x\0"), ".", refused=True),
    one("query without its end", frame("Q", b"select 1"), "Z"),
    one("bytes after the query's end", frame("Q", b"select 1\0more"), "Z"),
    one("bind cut short", parse("select 1") + frame("B", b"\0\0\0\0\0\7") + SYNC, "Z"),
    one("bind with a length beyond its end", parse("select $1::text") +
        frame("B", b"\0\0\0\0\0\1\0\0\0\x7f" + b"abc\0\0") + SYNC, "Z"),
    one("describe of an unknown kind", describe("Q") + SYNC, "Z"),
    one("close of an unknown kind", close("Q") + SYNC, "Z"),
    one("execute cut short", frame("E", b"\0") + SYNC, "Z"),
    one("sync with a body", frame("S", b"abc") + SYNC, "ZZ"),
    one("function call cut short", frame("F", b"\0\0"), "Z"),
    one("error, then unknown type while skipping", FAILS + frame("z"), ".", refused=True),
]

LARGE = [
    one("row of 64 MB", query("select repeat('0123456789abcdef', 4 * 1024 * 1024)"),
        modes=("transaction",)),
    one("query of 32 MB", query("select length('" + "q" * (32 << 20) + "')"),
        modes=("transaction",)),
    one("value of 32 MB", parse("select length($1::text)") + bind(["v" * (32 << 20)]) + execute() +
        SYNC, modes=("transaction",)),
    one("message of 16 MB in copy", query(COPY_TABLE + "copy c from stdin") +
        copy_data("1\t" + "w" * (16 << 20) + "\n") + COPY_DONE, modes=("transaction",)),
]

CASES = SIMPLE + BLOCKS + EXTENDED + COPY + CANCELLED + BAD + LARGE
