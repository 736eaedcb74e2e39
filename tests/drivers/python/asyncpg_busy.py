"""asyncpg, busy until the file $BUSY_STOP exists; see tests/systemd/test_drivers.py."""

import asyncio
import contextlib
import os

import asyncpg

turns, errors = 0, 0


async def idle(works):
    connection = await asyncpg.connect()
    statement = await connection.prepare("select $1::int + 1")
    assert await statement.fetchval(1) == 2
    await works.wait()
    assert await statement.fetchval(2) == 3
    await connection.close()


async def busy():
    global turns, errors
    connection = None
    while not os.path.exists(os.environ["BUSY_STOP"]):
        try:
            if connection is None:
                connection = await asyncpg.connect()
            async with connection.transaction():
                await connection.execute("insert into busy values ($1)", "asyncpg")
                assert await connection.fetchval("select $1::int * 2", 21) == 42
            turns += 1
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as problem:
            print("error:", repr(problem))
            errors += 1
            with contextlib.suppress(Exception):
                connection.terminate()
            connection = None
    if connection is not None:
        await connection.close()


async def main():
    over = asyncio.Event()
    idlers = [asyncio.create_task(idle(over)) for _ in range(2)]
    await asyncio.gather(*(busy() for _ in range(4)))
    over.set()
    await asyncio.gather(*idlers)
    print(f"turns={turns} errors={errors}")


asyncio.run(main())
