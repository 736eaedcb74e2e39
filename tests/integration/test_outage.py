"""PostgreSQL goes away and comes back."""

import time

import process
import wire


def error_of(peer):
    """What a new client gets when it asks something, and how long that took."""
    started = time.monotonic()
    with wire.Wire(peer.host, peer.port) as connection:
        messages = connection.login()
        if messages[-1][0] == "Z":
            connection.send(wire.query("select 1"))
            messages = connection.read_to_end()
    errors = [wire.fields(body) for kind, body in messages if kind == "E"]
    return errors[0] if errors else None, time.monotonic() - started


def works(peer):
    try:
        with wire.connect(peer, patience=3) as connection:
            return connection.rows("select 1") == ["1"]
    except (AssertionError, wire.Closed, OSError):
        return False


def test_outage_is_told_quickly_and_ends_by_itself(postgres, pooler):
    peer = pooler(settings={"server_login_retry": "1", "query_wait_timeout": "10"})
    assert works(peer)
    with wire.connect(peer) as stays:
        stays.rows("select 1")
        postgres.stop()
        try:
            for _ in range(3):
                error, took = error_of(peer)
                assert error["S"] == "FATAL"
                assert took < 4, "nobody waits for a server that cannot be reached"
            assert "connect" in error["M"], "it says what is wrong"
        finally:
            postgres.start()
        process.until(lambda: works(peer), "new clients work again", patience=10)
        assert stays.rows("select 2") == ["2"], "a client that was idle did not notice"


def test_server_out_of_connections_is_passed_on(postgres, pooler):
    """PostgreSQL's own refusal reaches the client unchanged."""
    postgres.ask("alter role plain_user connection limit 0")
    postgres.ask("alter role plain_user nosuperuser")
    try:
        peer = pooler(settings={"server_login_retry": "1"},
                      databases={"postgres": "user=plain_user password=pw-plain_user"})
        error, _ = error_of(peer)
        assert error["C"] == "53300"
    finally:
        postgres.ask("alter role plain_user connection limit -1 superuser")


def test_missing_database_is_passed_on(pooler):
    peer = pooler(databases={"postgres": "dbname=does_not_exist"})
    error, _ = error_of(peer)
    assert error["C"] == "3D000"


def test_port_that_nobody_listens_on(pooler):
    peer = pooler(databases={"postgres": f"host=127.0.0.1 port={process.free_port()}"})
    error, took = error_of(peer)
    assert error["S"] == "FATAL"
    assert took < 4


def test_second_host_is_tried(postgres, pooler):
    """The first host refuses: the second one serves."""
    peer = pooler(databases={
        "postgres": f"host=127.0.0.2,127.0.0.1 port={postgres.port} dbname=postgres"})
    process.until(lambda: works(peer), "the second host", patience=5)
