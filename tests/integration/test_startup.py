"""The first packets of a connection: versions, options, parameters, and nonsense."""

import struct
import time

import pytest

import oracle
import wire


@pytest.fixture(scope="module")
def pooler(shared_pooler):
    return shared_pooler(databases={"postgres": "pool_size=1"},
                         settings={"client_login_timeout": "5"})


def login(peer, **parameters):
    """What a login with these parameters brings, and what the settings then are."""
    show = parameters.pop("show", ())
    parameters = {"user": "tester", "database": "postgres", **parameters}
    with wire.Wire(peer.host, peer.port) as connection:
        messages = connection.login(**parameters)
        answers = [oracle.comparable(messages)]
        if messages[-1][0] == "Z":
            answers += [oracle.comparable(connection.ask(f"show {name}")) for name in show]
        return answers



GOOD = {
    "nothing special": {},
    "empty application_name": {"application_name": ""},
    "application_name": {"application_name": "a b'c\"d\\e", "show": ["application_name"]},
    "name beyond ascii": {"application_name": "caf\u00e9", "show": ["application_name"]},
    "encoding": {"client_encoding": "LATIN1", "show": ["client_encoding"]},
    "encoding in quotes": {"client_encoding": "'utf-8'", "show": ["client_encoding"]},
    "datestyle": {"DateStyle": "German, DMY", "show": ["datestyle"]},
    "datestyle in small letters": {"datestyle": "sql", "show": ["datestyle"]},
    "time zone": {"TimeZone": "America/New_York", "show": ["timezone"]},
    "interval style": {"IntervalStyle": "iso_8601", "show": ["intervalstyle"]},
    "search_path": {"search_path": "pg_catalog, public", "show": ["search_path"]},
    "search_path quoted": {"search_path": "\"Odd name\", public", "show": ["search_path"]},
    "statement_timeout": {"statement_timeout": "4321", "show": ["statement_timeout"]},
    "unit": {"work_mem": "3MB", "show": ["work_mem"]},
    "extra_float_digits": {"extra_float_digits": "2", "show": ["client_encoding"]},
    "customised": {"my.own": "value", "show": ["my.own"]},
    "options": {"options": "-c work_mem=2MB -c search_path=pg_catalog",
                "show": ["work_mem", "search_path"]},
    "long options": {"options": "--work-mem=5MB --statement_timeout=77",
                     "show": ["work_mem", "statement_timeout"]},
    "options without a blank": {"options": "-cwork_mem=4MB", "show": ["work_mem"]},
    "options with escapes": {"options": "-c application_name=a\\ b\\\\c",
                             "show": ["application_name"]},
    "options and parameter": {"options": "-c datestyle=SQL", "DateStyle": "German",
                              "show": ["datestyle"]},
    "empty options": {"options": ""},
    "replication off": {"replication": "false"},
}

BAD = {
    "unknown parameter": {"no_such_parameter": "1"},
    "bad value": {"work_mem": "lots"},
    "out of range": {"statement_timeout": "-5"},
    "bad datestyle": {"DateStyle": "sideways"},
    "bad encoding": {"client_encoding": "klingon"},
    "bad time zone": {"TimeZone": "Middle-earth/Shire"},
    "cannot be set now": {"max_connections": "7"},
    "read only": {"server_version": "7"},
    "unknown in options": {"options": "-c no_such_parameter=1"},
    "bad switch in options": {"options": "-Q"},
    "options without a value": {"options": "-c work_mem"},
    "no such database": {"database": "nowhere"},
}


@pytest.mark.parametrize("parameters", GOOD.values(), ids=GOOD.keys())
def test_parameters_take_effect_as_in_postgresql(postgres, pooler, parameters):
    expected = login(postgres, **parameters)
    found = login(pooler, **parameters)
    oracle.compare(expected, found)


@pytest.mark.parametrize("parameters", BAD.values(), ids=BAD.keys())
def test_bad_parameters_get_the_same_sqlstate(postgres, pooler, parameters):
    expected, found = (login(peer, **parameters)[0][-1] for peer in (postgres, pooler))
    assert expected[0] == found[0] == "E"
    assert found[1]["C"] == expected[1]["C"], found
    assert found[1]["S"] == "FATAL"


def test_bad_parameters_of_one_cost_another_nothing(pooler):
    with wire.connect(pooler) as other:
        for parameters in BAD.values():
            login(pooler, **parameters)
        assert other.rows("select 1") == ["1"]
    assert login(pooler)[0][-1][0] == "Z"


def test_parameters_of_one_do_not_reach_another(pooler):
    before = login(pooler, show=["work_mem", "search_path", "datestyle"])
    login(pooler, options="-c work_mem=2MB -c search_path=pg_catalog -c datestyle=German",
          show=["work_mem"])
    assert login(pooler, show=["work_mem", "search_path", "datestyle"]) == before


USER = b"user\0tester\0database\0postgres\0"

FIRST_PACKETS = {
    "garbage of a web browser": b"GET / HTTP/1.1\r\n\r\n",
    "length of zero": struct.pack("!II", 0, 196608),
    "length too small": struct.pack("!II", 7, 196608),
    "length too large": struct.pack("!II", 1 << 30, 196608),
    "negative length": b"\xff\xff\xff\xff\0\3\0\0",
    "protocol 2.0": struct.pack("!IHH", 8, 2, 0),
    "protocol 4.0": struct.pack("!IHH", 9, 4, 0) + b"\0",
    "protocol 1.0": struct.pack("!IHH", 8, 1, 0),
    "no user": wire.startup_raw(b"database\0postgres\0\0"),
    "empty user": wire.startup_raw(b"user\0\0database\0postgres\0\0"),
    "no last zero": wire.startup_raw(b"user\0tester\0"),
    "name without value": wire.startup_raw(b"user\0\0"),
    "bytes after the end": wire.startup_raw(USER + b"\0more"),
    "cancel of nobody": wire.cancel_request(b"\0\0\0\1\0\0\0\2"),
    "cancel cut short": struct.pack("!II", 8, 80877102),
    "a query at once": wire.query("select 1"),
}


@pytest.mark.parametrize("data", FIRST_PACKETS.values(), ids=FIRST_PACKETS.keys())
def test_first_packet_is_refused_as_by_postgresql(postgres, pooler, data):
    """Both close; where both say something, it has the same SQLSTATE."""
    with wire.Wire(postgres.host, postgres.port) as one, wire.Wire(pooler.host, pooler.port) as two:
        for connection in (one, two):
            connection.send(data)
            try:
                connection.socket.shutdown(1)
            except OSError:
                pass  # closed already
        expected, found = (oracle.comparable(oracle.wait_for(peer, ".")) for peer in (one, two))
    assert found[-1] == ("closed", b"")
    errors = [[body["C"] for kind, body in messages if kind == "E"]
              for messages in (expected, found)]
    assert errors[1] in ([], ["08P01"]) or errors[1] == errors[0], found
    assert "Z" not in [kind for kind, _ in found]


def test_database_defaults_to_the_user(postgres, pooler):
    data = wire.startup_raw(b"user\0postgres\0\0")
    expected, found = (oracle.raw(peer, data, "Z") for peer in (postgres, pooler))
    oracle.compare([expected], [found])


@pytest.mark.parametrize("version, options", [((3, 0), b""), ((3, 1), b""), ((3, 2), b""),
                                              ((3, 9999), b""), ((3, 0), b"_pq_.new\0on\0"),
                                              ((3, 2), b"_pq_.a\0x\0_pq_.b\0y\0")])
def test_newer_minor_versions_are_negotiated(postgres, pooler, version, options):
    """As PostgreSQL 15 does, save that the pooler may know the version that it is asked for."""
    data = wire.startup_raw(USER + options + b"\0", version)
    expected, found = (oracle.raw(peer, data, "Z") for peer in (postgres, pooler))
    negotiated = [[body for kind, body in messages if kind == "v"]
                  for messages in (expected, found)]
    if version == (3, 2) and not options:
        assert negotiated[1] in (negotiated[0], [])
    elif negotiated[0]:
        assert len(negotiated[1]) == 1
        assert negotiated[1][0][4:] == negotiated[0][0][4:], "the options that are not known"
    else:
        assert negotiated[1] == []
    rest = [[message for message in messages if message[0] != "v"]
            for messages in (expected, found)]
    assert rest[1] == rest[0]


def answer_to(peer, request):
    with wire.Wire(peer.host, peer.port) as connection:
        connection.send(request)
        answer = connection.read_bytes(1)
        messages = connection.login()
        return answer, oracle.comparable(messages)


def test_encryption_is_refused_with_n(postgres, pooler):
    assert answer_to(pooler, wire.SSL_REQUEST) == answer_to(postgres, wire.SSL_REQUEST)


def test_gss_then_ssl_then_login(pooler):
    with wire.Wire(pooler.host, pooler.port) as connection:
        for request in (wire.GSS_REQUEST, wire.SSL_REQUEST):
            connection.send(request)
            assert connection.read_bytes(1) == b"N"
        assert connection.login()[-1][0] == "Z"


def test_login_arrives_byte_by_byte(postgres, pooler):
    data = wire.startup(user="tester", database="postgres", application_name="slow")
    expected = oracle.raw(postgres, data, "Z")
    with wire.Wire(pooler.host, pooler.port) as connection:
        for position in range(len(data)):
            connection.send(data[position:position + 1])
            time.sleep(0.001)
        found = oracle.comparable(connection.read_until("Z"))
    oracle.compare([expected], [found])


def test_login_and_queries_in_one_packet(postgres, pooler):
    data = wire.startup(user="tester", database="postgres") + wire.query("select 1")
    expected, found = (oracle.raw(peer, data, "ZZ") for peer in (postgres, pooler))
    oracle.compare([expected], [found])


def test_a_login_that_never_ends_is_closed(pooler):
    with wire.Wire(pooler.host, pooler.port) as connection:
        connection.send(wire.startup(user="tester")[:-4])
        assert connection.is_closed(patience=9)


def test_nobody_waits_for_silent_connections(pooler):
    silent = [wire.Wire(pooler.host, pooler.port) for _ in range(50)]
    started = time.monotonic()
    with wire.connect(pooler) as connection:
        assert connection.rows("select 1") == ["1"]
    assert time.monotonic() - started < 2
    for connection in silent:
        connection.close()
