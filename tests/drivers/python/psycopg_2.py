"""psycopg2 through the pooler."""

import concurrent.futures
import io
import threading
import time

import psycopg2
import psycopg2.errors


def connect(autocommit=False):
    connection = psycopg2.connect("")
    connection.autocommit = autocommit
    return connection


def one(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchone()[0] if cursor.description else None


def fails(kind, connection, sql):
    try:
        one(connection, sql)
    except kind:
        return
    raise AssertionError(f"no error from {sql}")


def transactions():
    connection = connect()
    one(connection, "create table p2 (id int primary key)")
    connection.commit()
    one(connection, "insert into p2 values (1)")
    connection.commit()
    one(connection, "insert into p2 values (2)")
    connection.rollback()
    assert one(connection, "select sum(id) from p2") == 1
    connection.close()


def errors():
    connection = connect()
    fails(psycopg2.errors.DivisionByZero, connection, "select 1/0")
    fails(psycopg2.errors.InFailedSqlTransaction, connection, "select 1")
    connection.rollback()
    assert one(connection, "select 2") == 2
    connection.set_client_encoding("LATIN1")
    assert one(connection, "select 'é'::text") == "é"
    connection.close()


def copies():
    connection = connect()
    text = "".join(f"{number}\tvalue\n" for number in range(50000))
    with connection.cursor() as cursor:
        cursor.execute("create table p2c (a int, b text)")
        cursor.copy_expert("copy p2c from stdin", io.StringIO(text))
        back = io.StringIO()
        cursor.copy_expert("copy (select * from p2c order by a) to stdout", back)
        assert back.getvalue() == text
    connection.commit()
    connection.close()


def large_values():
    connection = connect(autocommit=True)
    assert one(connection, "select %s::text", "x" * (8 << 20)) == "x" * (8 << 20)
    connection.close()


def server_cursors():
    connection = connect()
    with connection.cursor("named") as cursor:
        cursor.itersize = 100
        cursor.execute("select generate_series(1, 1000)")
        assert len(list(cursor)) == 1000
    connection.commit()
    connection.close()


def concurrency():
    connection = connect(autocommit=True)
    one(connection, "create table p2n as select 0 as n")

    def work(_):
        mine = connect()
        for _ in range(40):
            one(mine, "update p2n set n = n + 1")
            mine.commit()
        mine.close()

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(10)))
    assert one(connection, "select n from p2n") == 400
    connection.close()


def cancel():
    connection = connect(autocommit=True)
    threading.Timer(0.5, connection.cancel).start()
    started = time.monotonic()
    fails(psycopg2.errors.QueryCanceled, connection, "select pg_sleep(30)")
    assert time.monotonic() - started < 10
    assert one(connection, "select 1") == 1
    connection.close()


for test in (transactions, errors, copies, large_values, server_cursors, concurrency, cancel):
    test()
    print("ok", test.__name__, flush=True)
