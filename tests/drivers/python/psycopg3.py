"""psycopg 3 through the pooler, with its defaults: statements are prepared after five uses."""

import concurrent.futures
import threading
import time

import psycopg


def connect(**options):
    return psycopg.connect(**options)


def transactions():
    with connect() as connection:
        connection.execute("create table p3 (id int primary key, v text)")
    with connect() as connection:
        connection.execute("insert into p3 values (%s, %s)", (1, "a"))
        connection.commit()
        connection.execute("insert into p3 values (%s, %s)", (2, "b"))
        connection.rollback()
        with connection.transaction():
            connection.execute("insert into p3 values (3, 'c')")
            try:
                with connection.transaction():
                    connection.execute("insert into p3 values (3, 'again')")
            except psycopg.errors.UniqueViolation:
                pass
        assert [row[0] for row in connection.execute("select id from p3 order by 1")] == [1, 3]


def errors():
    with connect(autocommit=True) as connection:
        try:
            connection.execute("select 1 / %s", (0,))
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero as error:
            assert error.sqlstate == "22012"
        assert connection.execute("select 1").fetchone() == (1,)
    with connect() as connection:
        for sql, kind in (("select 1/0", psycopg.errors.DivisionByZero),
                          ("select 1", psycopg.errors.InFailedSqlTransaction)):
            try:
                connection.execute(sql)
                raise AssertionError("no error")
            except kind:
                pass
        connection.rollback()
        assert connection.execute("select 2").fetchone() == (2,)


def copies():
    rows = [(number, f"text {number}\t\\") for number in range(50000)]
    with connect() as connection:
        connection.execute("create table p3c (a int, b text)")
        with connection.cursor().copy("copy p3c from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        with connection.cursor().copy("copy p3c to stdout") as copy:
            copy.set_types(["int4", "text"])
            assert sorted(copy.rows()) == rows
        connection.commit()
        try:
            with connection.cursor().copy("copy p3c from stdin") as copy:
                copy.write("not a number\tx\n")
            raise AssertionError("no error")
        except psycopg.errors.InvalidTextRepresentation:
            connection.rollback()


def large_values():
    with connect(autocommit=True) as connection:
        value = bytes(range(256)) * (8 << 12)
        assert connection.execute("select %b::bytea", (value,)).fetchone()[0] == value
        text = "\u00e9" * (8 << 20)
        assert connection.execute("select %s::text", (text,)).fetchone()[0] == text


def prepared():
    with connect(autocommit=True) as connection:
        for number in range(30):
            assert connection.execute("select %s::int + 1", (number,)).fetchone() == (number + 1,)
        cursor = connection.cursor()
        for number in range(3):
            cursor.execute("select %s::text", (str(number),), prepare=True)
            assert cursor.fetchone() == (str(number),)


def automatic_preparation():
    """Statements that are prepared at their second use and deallocated when there are too many, on
    more connections than there are servers."""
    connections = [connect(prepare_threshold=1) for _ in range(6)]
    for connection in connections:
        connection.prepared_max = 3
    for turn in range(4):
        for place, connection in enumerate(connections):
            for text in range(5):
                for _ in range(2):
                    cursor = connection.execute(f"select %s::int + {text}, %s::text", (turn, "x"))
                    assert cursor.fetchone() == (turn + text, "x")
            if (turn + place) % 3 == 0:
                try:
                    connection.execute("select 1 / %s::int", (0,))
                    raise AssertionError("no error")
                except psycopg.errors.DivisionByZero:
                    connection.rollback()
            connection.commit()
    for connection in connections:
        connection.close()


def pipelines():
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (n,)) for n in range(200)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(200))
        try:
            with connection.pipeline():
                connection.execute("select 1")
                connection.execute("select 1/0")
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.execute("select 3").fetchone() == (3,)


def server_cursors():
    with connect() as connection:
        with connection.cursor("named") as cursor:
            cursor.execute("select generate_series(1, 1000)")
            assert len(cursor.fetchall()) == 1000


def concurrency():
    with connect(autocommit=True) as connection:
        connection.execute("create table p3n (n int)")
        connection.execute("insert into p3n values (0)")

    def work(_):
        with connect() as connection:
            for _ in range(40):
                connection.execute("update p3n set n = n + %s", (1,))
                connection.commit()

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(10)))
    with connect() as connection:
        assert connection.execute("select n from p3n").fetchone() == (400,)


def cancel():
    with connect(autocommit=True) as connection:
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        started = time.monotonic()
        try:
            connection.execute("select pg_sleep(30)")
            raise AssertionError("no error")
        except psycopg.errors.QueryCanceled:
            assert time.monotonic() - started < 10
        assert connection.execute("select 1").fetchone() == (1,)


for test in (transactions, errors, copies, large_values, prepared, automatic_preparation, pipelines,
             server_cursors, concurrency, cancel):
    test()
    print("ok", test.__name__, flush=True)
