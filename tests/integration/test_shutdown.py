"""How the process ends: transactions first, then 57P01; and at once when told twice."""

import signal
import threading
import time

import pytest

import process
import wire


def codes(messages):
    return [wire.fields(body)["C"] for kind, body in messages if kind == "E"]


@pytest.mark.parametrize("workers", ("1", "2"))
def test_transactions_finish(pooler, workers):
    peer = pooler(settings={"workers": workers})
    idle = [wire.connect(peer) for _ in range(4)]
    busy = [wire.connect(peer) for _ in range(3)]
    waiting = [wire.connect(peer) for _ in range(2)]
    for client in busy:
        client.ask("begin")
    for client in waiting:
        client.send(wire.query("select 1"))
    time.sleep(0.2)
    peer.signal(signal.SIGTERM)
    for client in idle:
        assert codes(client.read_to_end()) == ["57P01"]
    for client in busy:
        assert client.rows("select 2") == ["2"]
        assert client.ask("commit")[-1] == ("Z", b"I")
    for client in busy:
        assert codes(client.read_to_end()) == ["57P01"]
    for client in waiting:
        assert codes(client.read_to_end()) == ["57P01"]
    assert peer.process.wait(10) == 0


def test_nobody_comes_in(pooler):
    peer = pooler()
    with wire.connect(peer) as busy:
        busy.ask("begin")
        peer.signal(signal.SIGTERM)
        process.until(lambda: "SIGTERM" in peer.read_log(), "it ends")
        process.until(lambda: not accepts(peer), "nobody is accepted")
        assert busy.rows("select 1") == ["1"]
    assert peer.process.wait(10) == 0


def accepts(peer):
    try:
        with wire.connect(peer, patience=2):
            return True
    except (OSError, AssertionError, wire.Closed):
        return False


def test_shutdown_timeout(pooler):
    peer = pooler(settings={"shutdown_timeout": "1"})
    with wire.connect(peer) as stuck:
        stuck.ask("begin")
        started = time.monotonic()
        peer.signal(signal.SIGTERM)
        assert codes(stuck.read_to_end()) == ["57P01"]
        assert 0.8 < time.monotonic() - started < 4
    assert peer.process.wait(10) == 0


def test_no_shutdown_timeout(pooler):
    peer = pooler(settings={"shutdown_timeout": "0"})
    with wire.connect(peer) as busy:
        busy.ask("begin")
        peer.signal(signal.SIGTERM)
        time.sleep(0.7)
        assert busy.rows("select 1") == ["1"], "0 is for ever"
        busy.ask("commit")
    assert peer.process.wait(10) == 0


def test_idle_sessions_of_session_mode_end_at_once(pooler):
    peer = pooler(settings={"pool_mode": "session"})
    with wire.connect(peer) as idle, wire.connect(peer) as busy:
        idle.rows("select 1")
        busy.ask("begin")
        peer.signal(signal.SIGTERM)
        started = time.monotonic()
        assert codes(idle.read_to_end()) == ["57P01"]
        assert time.monotonic() - started < 2
        assert busy.rows("select 1") == ["1"]
        busy.ask("commit")
        assert codes(busy.read_to_end()) == ["57P01"]
    assert peer.process.wait(10) == 0


@pytest.mark.parametrize("mode", ("transaction", "session"))
def test_busy_clients_end_between_transactions(pooler, mode):
    """Clients that never rest still end soon, and none in the middle of a transaction."""
    peer = pooler(settings={"pool_mode": mode, "default_pool_size": "20"})
    problems = []

    def work():
        connection = wire.connect(peer)
        while True:
            for number, sql in enumerate(("begin", "select 1", "commit")):
                try:
                    connection.send(wire.query(sql))
                    messages = connection.read_until("Z")
                except (wire.Closed, OSError):
                    if number != 0:
                        problems.append(f"lost at {sql}")
                    return
                if codes(messages):
                    problems.append(messages)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    peer.signal(signal.SIGTERM)
    assert peer.process.wait(20) == 0
    took = time.monotonic() - started
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert took < 5


@pytest.mark.parametrize("second", (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
def test_second_signal_ends_at_once(pooler, second):
    peer = pooler()
    with wire.connect(peer) as stuck:
        stuck.ask("begin")
        peer.signal(signal.SIGTERM)
        process.until(lambda: "SIGTERM" in peer.read_log(), "it ends")
        peer.signal(second)
        assert codes(stuck.read_to_end()) == ["57P01"]
    assert peer.process.wait(5) == 0


def test_quit_ends_at_once(pooler):
    peer = pooler()
    with wire.connect(peer) as stuck:
        stuck.ask("begin")
        peer.signal(signal.SIGQUIT)
        assert codes(stuck.read_to_end()) == ["57P01"]
    assert peer.process.wait(5) == 0


def test_ends_while_names_and_passwords_are_worked_on(postgres, pooler):
    peer = pooler(settings={"auth_type": "scram-sha-256", "scram_iterations": "400000"},
                  users={f"u{number}": "pw" for number in range(8)},
                  databases={"postgres": "host=no-such-host.invalid,localhost"})
    clients = [wire.Wire(peer.host, peer.port) for _ in range(8)]
    for number, client in enumerate(clients):
        client.send(wire.startup(user=f"u{number}", database="postgres"))
        client.read_until("R")
        client.send(wire.Scram("pw").first())
    peer.signal(signal.SIGQUIT)
    assert peer.process.wait(10) == 0
    for client in clients:
        client.close()


def test_user_signal_does_no_harm(pooler):
    peer = pooler()
    with wire.connect(peer) as connection:
        peer.signal(signal.SIGUSR1)
        process.until(lambda: "SIGUSR1" in peer.read_log(), "it says what that means")
        assert connection.rows("select 1") == ["1"]
