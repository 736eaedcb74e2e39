"""psycopg, busy until the file $BUSY_STOP exists; see tests/systemd/test_drivers.py."""

import contextlib
import os
import threading

import psycopg

lock = threading.Lock()
over = threading.Event()
turns, errors, wrong = 0, 0, []


def idle():
    try:
        with psycopg.connect(autocommit=True, prepare_threshold=0) as connection:
            assert connection.execute("select %s::int + 1", (1,)).fetchone() == (2,)
            over.wait()
            assert connection.execute("select %s::int + 1", (2,)).fetchone() == (3,)
    except Exception as problem:  # noqa: BLE001: whatever it is, the test has to know
        wrong.append(repr(problem))


def busy():
    global turns, errors
    connection = None
    while not os.path.exists(os.environ["BUSY_STOP"]):
        try:
            if connection is None:
                connection = psycopg.connect(autocommit=True, prepare_threshold=2)
            with connection.transaction():
                connection.execute("insert into busy values (%s)", ("psycopg",))
                answer = connection.execute("select %s::int * 2", (21,)).fetchone()
            with lock:
                turns += 1
                if answer != (42,):
                    wrong.append(answer)
        except (psycopg.Error, OSError) as problem:
            print("error:", repr(problem))
            with lock:
                errors += 1
            with contextlib.suppress(Exception):
                connection.close()
            connection = None
    if connection is not None:
        connection.close()


idlers = [threading.Thread(target=idle) for _ in range(2)]
workers = [threading.Thread(target=busy) for _ in range(4)]
for thread in idlers + workers:
    thread.start()
for thread in workers:
    thread.join()
over.set()
for thread in idlers:
    thread.join()
assert not wrong, wrong
print(f"turns={turns} errors={errors}")
