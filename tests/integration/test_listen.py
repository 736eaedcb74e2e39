"""LISTEN and NOTIFY in transaction mode: as PostgreSQL does it, though a connection listens for many."""

import struct
import threading

import pytest

import oracle
import process
import wire
from wire import SYNC, bind, close, describe, execute, parse, query

PATIENCE = 30.0
LONG = "Long_" + "x" * 70
WIDE = "ä" * 40


def other(sql, count=1):
    """Another session, past the pooler, says `sql`, and brings so many notifications."""
    return ("other", sql, count)


def frames(data, ends="Z"):
    return ("frames", data, ends)


def extended(sql, statement=""):
    return parse(sql, statement) + bind(statement=statement) + describe() + execute()


# Each is run in PostgreSQL and through the pooler. A string is a simple query. In the end all
# channels are notified, so what is compared includes what the client listens to by then.
SCRIPTS = {
    "listen_and_unlisten": ["listen a", other("notify a, 'one'"), other("notify a"),
                            "unlisten a", other("notify a", 0), "listen a"],
    "names": ["listen FooBar", 'listen "FooBar"', 'LISTEN "with "" quote"', r'listen U&"d\0061t"',
              other("notify foobar"), other('notify "FooBar", $$x$$'), "unlisten FOOBAR",
              other('notify "with "" quote"'), other("notify dat")],
    "unlisten_names": ['listen "A b"', "listen c", "listen dat", 'unlisten "A b"',
                       "/* c */ UnListen -- d\n C;", r'unlisten U&"d!0061t" uescape' + " '!'"],
    "names_are_cut": [f"listen {LONG}", f'listen "{WIDE}"', other(f"notify {LONG}"),
                      other(f'notify "{WIDE}"'), f"unlisten {LONG}y", f'unlisten "{WIDE}ß"'],
    "several_in_one_query": ["listen a; select 1; listen b; unlisten a; select 2"],
    "twice": ["listen a", "listen a; listen a", other("notify a, 'x'"), "unlisten a"],
    "in_a_block": ["begin", "listen a", other("notify a", 0), "select 1", "commit",
                   other("notify a")],
    "rolled_back": ["begin; listen a", "rollback", "listen b; select 1/0", "listen c",
                    "begin; unlisten c", "rollback", "unlisten c; select 1/0"],
    "savepoints": ["begin; listen a; savepoint s; listen b", "rollback to s; listen c; commit",
                   "begin; savepoint s; unlisten a", "rollback to s", "unlisten c", "commit",
                   "begin; savepoint s; unlisten a; release s; select 1/0", "rollback"],
    "unlisten_and_listen": ["listen a; listen b", "unlisten *; listen b", "unlisten b; listen a",
                            "begin; unlisten a; listen a", "commit"],
    "unlisten_all": ["listen a", "listen b", "unlisten *", "listen c"],
    "discard_all": ["listen a", "discard all", "listen b"],
    "failed_block": ["listen a", "begin; unlisten a", "selec", "commit"],
    "own": ["listen a", "notify a, 'mine'", "begin; notify a, '1'; notify a, '1'; notify a, '2'",
            "commit", "begin; notify a, 'no'; rollback", "notify b; notify a; notify a, ''"],
    "own_in_its_first_block": ["begin; notify a, 'before'; listen a; notify a, 'after'", "commit"],
    "own_and_unlisten": ["listen a; listen b", "unlisten a; notify a; notify b"],
    "in_strings": ["listen a", "select 'unlisten a', $$; unlisten a;$$ as \"unlisten a\"",
                   "set standard_conforming_strings = off", r"select '\'; unlisten a; --'",
                   "reset standard_conforming_strings"],
    "extended": [frames(extended("listen a") + SYNC), other("notify a, 'x'"),
                 frames(extended("listen b") + extended("unlisten a") + SYNC),
                 frames(extended("notify b, 'own'") + SYNC)],
    "extended_named": [frames(extended("listen a", "l") + extended("listen b", "m") + SYNC),
                       frames(extended("unlisten a", "u") + SYNC),
                       frames(bind(statement="l") + execute() + SYNC),
                       frames(bind(statement="u") + execute() + bind(statement="l") + execute() +
                              close("S", "u") + SYNC)],
    "extended_block": [frames(extended("begin") + SYNC), frames(extended("listen a") + SYNC),
                       frames(extended("rollback") + SYNC), frames(extended("listen b") + SYNC),
                       frames(extended("unlisten b") + extended("select 1/0") + SYNC)],
    "pipeline": [frames(query("listen a") + query("select 1") + query("listen b") +
                        query("unlisten a") + query("select 2"), "ZZZZZ"),
                 frames(extended("listen c") + SYNC + extended("select 1/0") + SYNC +
                        extended("unlisten b") + SYNC, "ZZZ")],
    "long_query": ["listen a", "select length('" + "x" * 100_000 + "')", other("notify a")],
    "many": ["listen a", other("; ".join(f"notify a, '{n}'" for n in range(300)), 300),
             "; ".join(f"listen c{n}" for n in range(200)), other("notify c17"),
             "; ".join(f"unlisten c{n}" for n in range(0, 200, 2))],
}
CHANNELS = ["a", "b", "c", "foobar", "FooBar", 'with "" quote', "dat", "A b", LONG.lower()[:63],
            WIDE, "c16", "c17", "zz_end"]
NOT_IN_STATEMENT_MODE = {name for name, script in SCRIPTS.items() if "begin" in str(script)}


def channel_of(message):
    kind, body = message
    return body[4:].split(b"\0")[0].decode("utf8") if kind == "A" else None


def run(peer, postgres, script, database="postgres"):
    answers = []
    with wire.connect(peer, PATIENCE, database=database) as client, \
            wire.connect(postgres) as notifier:
        for step in script + ["listen zz_end"]:
            if isinstance(step, str):
                client.send(query(step))
                answers.append(client.read_until("Z"))
            elif step[0] == "frames":
                client.send(step[1])
                answers.append(client.read_until(step[2]))
            else:
                notifier.ask(step[1])
                answers.append(client.read_until("A" * step[2]))
        for channel in CHANNELS:
            notifier.ask(f'notify "{channel}", \'end\'')
        answers.append([])
        while not answers[-1] or channel_of(answers[-1][-1]) != "zz_end":
            answers[-1].append(client.read())
    return [oracle.comparable(messages) for messages in answers]


REFERENCE = {}


@pytest.fixture(scope="module")
def peer(shared_pooler):
    return shared_pooler(settings={"workers": "2"}, databases={
        "transaction": "pool_mode=transaction pool_size=3",
        "two": "pool_mode=transaction pool_size=2",
        "statement": "pool_mode=statement pool_size=2",
        "session": "pool_mode=session pool_size=2"})


@pytest.mark.parametrize("database", ("transaction", "two", "statement", "session"))
@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_postgres(postgres, peer, name, database):
    if database == "statement" and name in NOT_IN_STATEMENT_MODE:
        pytest.skip("not for this mode")
    if name not in REFERENCE:
        REFERENCE[name] = run(postgres, postgres, SCRIPTS[name])
    oracle.compare(REFERENCE[name], run(peer, postgres, SCRIPTS[name], database), name)


def test_same_as_postgres_beside_others_who_listen(postgres, peer):
    """The connection that listens is there already, on whatever worker."""
    with wire.connect(peer, database="transaction") as one, \
            wire.connect(peer, database="transaction") as two:
        for each in one, two:
            each.ask("listen nothing; listen a")
        for name in ("own", "savepoints", "extended", "in_a_block", "many", "pipeline"):
            expected = run(postgres, postgres, SCRIPTS[name])
            oracle.compare(expected, run(peer, postgres, SCRIPTS[name], "transaction"), name)


def listeners(pooler):
    return [row for row in pooler.show("SERVERS") if row["state"] == "listening"]


def numbers(client, count):
    """The payloads of the next notifications; everything else is dropped."""
    payloads = []
    while len(payloads) < count:
        kind, body = client.read()
        if kind == "A":
            payloads.append(int(body[4:].split(b"\0")[1]))
    return payloads


def test_notifiers_pid_and_one_connection_for_all_workers(postgres, pooler):
    peer = pooler(settings={"workers": "4"}, databases={"postgres": "pool_size=4"})
    with wire.connect(postgres) as notifier:
        pid = notifier.rows("select pg_backend_pid()")[0]
        clients = [wire.connect(peer, PATIENCE) for _ in range(12)]
        for number, client in enumerate(clients):
            client.ask(f"listen all_of_them; listen c{number}")
        assert len(listeners(peer)) == 1
        for number in range(200):
            notifier.ask(f"notify all_of_them, '{number}'")
        for number in range(12):
            notifier.ask(f"notify c{number}, '1000'")
        for client in clients:
            kind, body = client.read()
            assert kind == "A" and struct.unpack("!I", body[:4])[0] == int(pid)
            assert numbers(client, 200) == [*range(1, 200), 1000]
        for client in clients[1:]:
            client.close()
        assert clients[0].rows("select 1") == ["1"]
        clients[0].close()
        process.until(lambda: not listeners(peer), "nobody listens any more", PATIENCE)


def test_nothing_is_lost_or_doubled_where_a_subscription_begins(postgres, peer):
    stop = threading.Event()

    def notify():
        with wire.connect(postgres) as notifier:
            number = 0
            while not stop.is_set():
                notifier.ask(f"notify numbers, '{number}'; notify numbers, '{number + 1}'")
                number += 2

    thread = threading.Thread(target=notify)
    thread.start()
    try:
        with wire.connect(peer, PATIENCE, database="transaction") as first:
            for _ in range(15):
                with wire.connect(peer, PATIENCE, database="transaction") as client:
                    client.send(query("listen numbers"))
                    seen = numbers(client, 60)
                    assert seen == list(range(seen[0], seen[0] + 60))
                first.ask("listen numbers")
                seen = numbers(first, 30)
                assert seen == list(range(seen[0], seen[0] + 30))
                first.ask("unlisten *; listen something_else")
    finally:
        stop.set()
        thread.join()


def notice_of_gap(client):
    kind, body = client.read()
    assert kind == "N" and "notifications may have been lost" in wire.fields(body)["M"]


@pytest.mark.parametrize("notify", ("0", "1"))
def test_gap_where_the_connection_is_lost(postgres, pooler, notify):
    peer = pooler(settings={"listen_gap_notify": notify}, databases={"postgres": "pool_size=2"})
    with wire.connect(peer, PATIENCE) as one, wire.connect(peer, PATIENCE) as two:
        one.ask("listen a; listen b")
        two.ask("listen c")
        for _ in range(2):
            old = listeners(peer)[0]["remote_pid"]
            postgres.ask("select pg_terminate_backend(%s)", int(old))
            for client, channels in (one, ["a", "b"]), (two, ["c"]):
                notice_of_gap(client)
                if notify == "1":
                    told = [client.read() for _ in channels]
                    assert [(channel_of(each), each[1][-2:]) for each in told] == [
                        (channel, b"\0\0") for channel in channels]
            assert listeners(peer)[0]["remote_pid"] != old
            postgres.ask("select pg_notify('a', '1'), pg_notify('b', '2'), pg_notify('c', '3')")
            assert numbers(one, 2) == [1, 2] and numbers(two, 1) == [3]
        assert one.rows("select 1") == ["1"]


def test_gap_where_postgres_restarts(pooler):
    from cluster import Cluster
    cluster = Cluster()
    try:
        peer = pooler(cluster)
        with wire.connect(peer, 60) as client:
            client.ask("listen a")
            cluster.stop()
            cluster.start()
            notice_of_gap(client)
            cluster.ask("select pg_notify('a', '7')")
            assert numbers(client, 1) == [7]
    finally:
        cluster.remove()


def test_pause_and_reconnect_take_the_listening_connection_along(postgres, pooler):
    peer = pooler(databases={"postgres": "pool_size=2"})
    with wire.connect(peer, PATIENCE) as client:
        client.ask("listen a")
        for commands in (["PAUSE", "RESUME"], ["RECONNECT", "WAIT_CLOSE"]):
            with peer.console() as console:
                for command in commands:
                    console.execute(command)
            notice_of_gap(client)
            postgres.ask("select pg_notify('a', '5')")
            assert numbers(client, 1) == [5]


def test_a_pool_of_one_server_refuses(pooler):
    peer = pooler(databases={"postgres": "pool_size=1"})
    with wire.connect(peer) as client:
        messages = client.ask("listen a")
        assert [kind for kind, _ in messages] == ["C", "E", "Z"]
        assert wire.fields(messages[1][1])["C"] == "53300"
        assert client.rows("select 1") == ["1"]


def test_too_many_channels_are_refused(postgres, peer):
    with wire.connect(peer, PATIENCE, database="two") as client:
        client.ask("listen a")
        messages = client.ask("; ".join(f"listen c{number}" for number in range(10_000)))
        assert [kind for kind, _ in messages[-2:]] == ["E", "Z"]
        assert wire.fields(messages[-2][1])["C"] == "53300"
        postgres.ask("select pg_notify('c1', '0'), pg_notify('a', '1')")
        assert numbers(client, 1) == [1]


def test_clients_that_all_listen_at_once_do_not_wait_for_each_other(pooler):
    peer = pooler(databases={"postgres": "pool_size=2"}, settings={"workers": "3"})
    clients = [wire.connect(peer, PATIENCE) for _ in range(20)]
    for _ in range(3):
        for client in clients:
            client.send(query("listen a"))
        for client in clients:
            assert [kind for kind, _ in client.read_until("Z")] == ["C", "Z"]
        for client in clients:
            client.send(query("unlisten *"))
        for client in clients:
            client.read_until("Z")
    for client in clients:
        client.close()


def test_who_does_not_read_gets_a_gap_and_disturbs_nobody(postgres, pooler):
    peer = pooler(settings={"listen_queue_size": "65536", "tcp_socket_buffer": "16384"})
    with wire.connect(peer, PATIENCE) as slow, wire.connect(peer, PATIENCE) as quick, \
            wire.connect(postgres) as notifier:
        for each in slow, quick:
            each.ask("listen a")
        total = 1500  # 10 MB, more than all sockets take
        for number in range(total):
            notifier.ask(f"select pg_notify('a', lpad('{number}', 7000))")
            assert numbers(quick, 1) == [number]
        notifier.ask("notify a, '999999'")
        assert numbers(quick, 1) == [999999]
        seen, gaps = [], 0
        while not seen or seen[-1] != 999999:
            kind, body = slow.read()
            if kind == "A":
                seen.append(int(body[4:].split(b"\0")[1]))
            else:
                assert kind == "N"
                gaps += 1
        assert gaps >= 1 and len(seen) < total and seen == sorted(set(seen))


def test_encodings(postgres, pooler):
    peer = pooler(databases={"postgres": "pool_size=4"})
    with wire.connect(peer, PATIENCE, client_encoding="LATIN1") as latin, \
            wire.connect(peer, PATIENCE) as utf8:
        latin.ask("listen \"\xe4\"".encode("latin1"))
        utf8.ask('listen "ä"')
        postgres.ask("select pg_notify('ä', 'ö')")
        assert latin.read()[1][4:] == "ä\0ö\0".encode("latin1")
        assert utf8.read()[1][4:] == "ä\0ö\0".encode()
        latin.ask("unlisten \"\xe4\"".encode("latin1"))
        utf8.ask('unlisten "ä"')
        for each in latin, utf8:
            each.ask("listen b")
        postgres.ask("select pg_notify('ä', 'x'), pg_notify('b', '1')")
        assert numbers(latin, 1) == numbers(utf8, 1) == [1]


def test_leavers_leave_no_subscription(postgres, pooler):
    """In the middle of LISTEN, in a block, and while they are listening."""
    peer = pooler(databases={"postgres": "pool_size=2"})
    for ending in ("idle", "asking", "block"):
        for _ in range(5):
            with wire.connect(peer, PATIENCE) as client:
                client.send(query("begin; listen a" if ending == "block" else "listen a"))
                if ending != "asking":
                    client.read_until("Z")
    process.until(lambda: not listeners(peer), "nobody listens any more", PATIENCE)
    with wire.connect(peer, PATIENCE) as client:
        assert client.rows("select count(*) from pg_listening_channels()") == ["0"]
