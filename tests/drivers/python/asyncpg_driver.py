"""asyncpg through the pooler, with its defaults: every statement is a named prepared one."""

import asyncio
import io

import asyncpg


async def transactions():
    connection = await asyncpg.connect()
    await connection.execute("create table ap (id int primary key, v text)")
    async with connection.transaction():
        await connection.execute("insert into ap values ($1, $2)", 1, "a")
    try:
        async with connection.transaction():
            await connection.execute("insert into ap values ($1, $2)", 2, "b")
            raise KeyError
    except KeyError:
        pass
    assert await connection.fetchval("select count(*) from ap") == 1
    async with connection.transaction():
        rows = [row async for row in connection.cursor("select generate_series(1, 500)")]
    assert len(rows) == 500
    await connection.close()


async def errors():
    connection = await asyncpg.connect()
    for _ in range(3):
        try:
            await connection.fetchval("select 1 / $1::int", 0)
            raise AssertionError("no error")
        except asyncpg.DivisionByZeroError as error:
            assert error.sqlstate == "22012"
        try:
            await connection.fetchval("select no_such_column")
            raise AssertionError("no error")
        except asyncpg.UndefinedColumnError:
            pass
    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def copies():
    connection = await asyncpg.connect()
    rows = [(number, f"value {number}") for number in range(20000)]
    await connection.execute("create table apc (a int, b text)")
    await connection.copy_records_to_table("apc", records=rows)
    assert await connection.fetchval("select count(*) from apc") == len(rows)
    out = io.BytesIO()
    await connection.copy_from_query("select a from apc order by a", output=out)
    assert len(out.getvalue().splitlines()) == len(rows)
    await connection.close()


async def large_values():
    connection = await asyncpg.connect()
    value = b"\0\xff" * (4 << 20)
    assert await connection.fetchval("select $1::bytea", value) == value
    await connection.close()


async def prepared():
    connection = await asyncpg.connect()
    statement = await connection.prepare("select $1::int * 2")
    for number in range(30):
        assert await statement.fetchval(number) == number * 2
    for number in range(150):  # more than its cache holds
        assert await connection.fetchval(f"select {number} + $1::int", 1) == number + 1
    await connection.executemany("select $1::int", [(n,) for n in range(100)])
    await connection.close()


async def concurrency():
    async with asyncpg.create_pool(min_size=10, max_size=10) as pool:
        await pool.execute("create table apn as select 0 as n")

        async def work():
            for _ in range(40):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("update apn set n = n + $1", 1)
        await asyncio.gather(*(work() for _ in range(10)))
        assert await pool.fetchval("select n from apn") == 400


async def cancel():
    connection = await asyncpg.connect()
    try:
        await connection.execute("select pg_sleep(30)", timeout=0.5)  # cancels when it is over
        raise AssertionError("no error")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def main():
    for test in (transactions, errors, copies, large_values, prepared, concurrency, cancel):
        await asyncio.wait_for(test(), 60)
        print("ok", test.__name__, flush=True)


asyncio.run(main())
