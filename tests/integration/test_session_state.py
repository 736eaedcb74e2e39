"""In transaction mode, what is tracked follows its client, and what is not does not leak."""

import pytest

import wire

TRACKED = {
    "application_name": ("one", "two"),
    "datestyle": ("German, DMY", "SQL, MDY"),
    "timezone": ("Asia/Tokyo", "America/New_York"),
    "client_encoding": ("LATIN1", "UTF8"),
    "standard_conforming_strings": ("off", "on"),
    "intervalstyle": ("iso_8601", "sql_standard"),
}


@pytest.fixture(scope="module")
def peer(shared_pooler):
    return shared_pooler(settings={"default_pool_size": "1"})


@pytest.mark.parametrize("name", TRACKED)
def test_tracked_parameter_follows_its_client(peer, name):
    """Two clients take turns on one server; each sees its own value, and is told of no other."""
    with wire.connect(peer) as first, wire.connect(peer) as second:
        clients = list(zip((first, second), TRACKED[name]))
        for client, value in clients:
            client.ask(f"set {name} = '{value}'")
        for _ in range(5):
            for client, value in clients:
                messages = client.ask(f"show {name}")
                assert value.encode() in messages[1][1]
                assert [kind for kind, _ in messages] == list("TDCZ")


@pytest.mark.parametrize("name", TRACKED)
def test_startup_value_follows_its_client(peer, name):
    one, two = TRACKED[name]
    with wire.connect(peer, **{name: one}) as first, wire.connect(peer, **{name: two}) as second:
        for _ in range(5):
            assert first.rows(f"show {name}") == [one]
            assert second.rows(f"show {name}") == [two]


def test_startup_options_follow_their_client(peer):
    with wire.connect(peer, options="-c work_mem=2MB -c search_path=pg_catalog") as first, \
            wire.connect(peer, statement_timeout="12345") as second, wire.connect(peer) as third:
        for _ in range(4):
            assert first.rows("show work_mem") == ["2MB"]
            assert first.rows("show search_path") == ["pg_catalog"]
            assert first.rows("show statement_timeout") == ["0"]
            assert second.rows("show statement_timeout") == ["12345ms"]
            assert second.rows("show work_mem") == ["4MB"]
            assert third.rows("select current_setting('work_mem') || "
                              "current_setting('statement_timeout')") == ["4MB0"]


@pytest.mark.parametrize("name, value", (("work_mem", "7MB"), ("statement_timeout", "99s"),
                                         ("search_path", "pg_catalog"), ("row_security", "off"),
                                         ("role", "pg_monitor"),
                                         ("session_replication_role", "replica")))
def test_untracked_set_does_not_leak(peer, name, value):
    with wire.connect(peer) as first, wire.connect(peer) as second:
        before = second.rows(f"show {name}")
        first.ask(f"set {name} = '{value}'")
        assert second.rows(f"show {name}") == before


def test_odd_values_are_passed_by_value(peer):
    for value in ("it's", 'a "b"', "back\\slash", "semi; select 1", "$1", "", "%s", "a" * 60):
        with wire.connect(peer, application_name=value) as first, wire.connect(peer) as second:
            second.rows("select 1")
            assert first.rows("show application_name") == [value]


def test_set_in_a_pipeline_and_in_a_rolled_back_block(peer):
    with wire.connect(peer) as first, wire.connect(peer) as second:
        first.send(wire.parse("set timezone = 'Asia/Tokyo'") + wire.bind() + wire.execute() +
                   wire.SYNC)
        first.read_until("Z")
        first.ask("begin")
        first.ask("set timezone = 'Europe/Paris'")
        first.ask("rollback")
        assert second.rows("show timezone") == ["UTC"]
        assert first.rows("show timezone") == ["Asia/Tokyo"]
        first.ask("reset timezone")
        assert second.rows("select 1") == ["1"]
        assert first.rows("show timezone") == ["UTC"]


def test_discard_all_and_reset_all(peer):
    with wire.connect(peer) as first, wire.connect(peer) as second:
        for command in ("discard all", "reset all"):
            first.ask("set datestyle = 'German'")
            first.ask(command)
            assert second.rows("show datestyle") == ["ISO, MDY"]
            assert first.rows("show datestyle") == ["ISO, MDY"]


def test_value_that_another_server_refuses_reaches_its_client_only(postgres, pooler):
    """Parameters of one client that the server does not accept cost only that client."""
    peer = pooler(settings={"default_pool_size": "1"})
    with wire.connect(peer) as other:
        with wire.Wire(peer.host, peer.port) as bad:
            bad.login(TimeZone="Nowhere/Land")
        assert other.rows("select 1") == ["1"]
