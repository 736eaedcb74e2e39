"""Who may log in, how, and with which stored secrets, towards clients and servers."""

import contextlib
import hashlib

import pytest

import cluster as postgres_cluster
import process
import wire

PASSWORD = "pw-scram_user"


def md5_of(user, secret):
    return "md5" + hashlib.md5((secret + user).encode()).hexdigest()


def attempt(peer, user, secret, database="postgres"):
    """None after a login that could also run a query, else the error's fields."""
    with wire.Wire(peer.host, peer.port) as connection:
        messages = connection.login(user=user, secret=secret, database=database)
        if messages[-1][0] == "E":
            return wire.fields(messages[-1][1])
        assert connection.rows("select current_user") == [user]
        return None


def stored(postgres, kind):
    """The secret of scram_user in each form that a user list may have."""
    return {"plain": PASSWORD, "md5": md5_of("scram_user", PASSWORD),
            "scram": postgres.secret("scram_user")}[kind]


# (auth_type, kind of stored secret): whether a login by the right password works. The server's side
# has a password of its own in the database entry, so that only the client's side is tried.
CLIENT = {
    ("plain", "plain"): True, ("plain", "md5"): True, ("plain", "scram"): True,
    ("md5", "plain"): True, ("md5", "md5"): True, ("md5", "scram"): True,
    ("scram-sha-256", "plain"): True, ("scram-sha-256", "md5"): False,
    ("scram-sha-256", "scram"): True,
}


@pytest.mark.parametrize("auth_type, kind", CLIENT)
def test_password_is_checked(postgres, pooler, auth_type, kind):
    peer = pooler(settings={"auth_type": auth_type},
                  users={"scram_user": stored(postgres, kind)},
                  databases={"postgres": f"user=scram_user password={PASSWORD}"})
    good = attempt(peer, "scram_user", PASSWORD)
    assert (good is None) == CLIENT[auth_type, kind], good
    for wrong in ("wrong", "", PASSWORD + "x"):
        error = attempt(peer, "scram_user", wrong)
        assert (error["S"], error["C"]) == ("FATAL", "28P01")


@pytest.mark.parametrize("auth_type", ("plain", "md5", "scram-sha-256"))
def test_unknown_user_looks_like_a_wrong_password(pooler, auth_type):
    """Same messages in the same order, same error but for the name."""
    peer = pooler(settings={"auth_type": auth_type}, users={"scram_user": PASSWORD})

    def conversation(user):
        with wire.Wire(peer.host, peer.port) as connection:
            messages = connection.login(user=user, secret="wrong")
            shapes = [(kind, len(body), body[:4]) for kind, body in messages if kind == "R"]
            error = wire.fields(messages[-1][1])
            return shapes, {k: v.replace(user, "NAME") for k, v in error.items() if k in "SCM"}

    for _ in range(2):
        assert conversation("nobody_abc") == conversation("scram_user")


def test_mock_salt_of_an_unknown_user_does_not_change(pooler):
    """A salt that is new each time would tell that the user does not exist."""
    peer = pooler(settings={"auth_type": "scram-sha-256"}, users={"scram_user": PASSWORD})

    def salt(user):
        with wire.Wire(peer.host, peer.port) as connection:
            connection.send(wire.startup(user=user, database="postgres"))
            connection.read_until("R")
            connection.send(wire.Scram("x").first())
            kind, body = connection.read()
            assert kind == "R"
            return body[4:].decode().split(",s=")[1]

    for user in ("nobody_abc", "scram_user"):
        assert salt(user) == salt(user)


def test_trust_lets_listed_users_in(pooler):
    peer = pooler(settings={"auth_type": "trust"}, users={"tester": ""})
    assert attempt(peer, "tester", None) is None
    assert attempt(peer, "postgres", None)["S"] == "FATAL"


def test_empty_stored_secret_never_matches(pooler):
    peer = pooler(settings={"auth_type": "md5"}, users={"tester": ""})
    assert attempt(peer, "tester", "")["C"] == "28P01"


# User of the server (its method is in the name) and kind of stored secret: how the pooler logs in.
SERVER = [
    ("plain_user", "plain", "plain"), ("md5_user", "plain", "md5"), ("md5_user", "md5", "md5"),
    ("scram_user", "plain", "scram-sha-256"), ("scram_user", "plain", "md5"),
    ("scram_user", "scram", "scram-sha-256"), ("tester", "plain", "scram-sha-256"),
]


@pytest.mark.parametrize("user, kind, auth_type", SERVER)
def test_pooler_logs_in_at_the_server(postgres, pooler, user, kind, auth_type):
    """With the client's own name, from what the user list has: pass-through where it is no
    password."""
    secret = postgres_cluster.password(user)
    users = {user: {"plain": secret, "md5": md5_of(user, secret),
                    "scram": postgres.secret(user)}[kind]}
    peer = pooler(settings={"auth_type": auth_type}, users=users)
    for _ in range(3):
        assert attempt(peer, user, secret) is None


def test_scram_secret_without_a_scram_login_cannot_reach_the_server(postgres, pooler):
    """The client's password was never seen: a truthful error, at once, to this client only."""
    peer = pooler(settings={"auth_type": "trust"},
                  users={"scram_user": postgres.secret("scram_user"), "tester": ""})
    assert attempt(peer, "scram_user", None)["S"] == "FATAL"
    assert attempt(peer, "tester", None) is None


def test_wrong_server_password_is_passed_on(pooler):
    peer = pooler(databases={"postgres": "user=scram_user password=wrong"})
    with wire.Wire(peer.host, peer.port) as connection:
        messages = connection.login()
        if messages[-1][0] == "Z":
            messages = connection.ask("select 1")
        error = [wire.fields(body) for kind, body in messages if kind == "E"][0]
        assert error["C"] == "28P01"


def test_passwords_beyond_ascii(postgres, pooler):
    """SASLprep: the two spellings of the same letters are the same password."""
    postgres.ask("drop role if exists unicode_user")
    postgres.ask("create role unicode_user login password 'p\u00e4ss\u00a0\u2168'")
    peer = pooler(settings={"auth_type": "scram-sha-256"},
                  users={"unicode_user": "p\u00e4ss\u00a0\u2168"},
                  databases={"postgres": "user=tester"})
    with peer.connect("unicode_user", password="p\u00e4ss IX") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_broken_answers_are_refused(pooler):
    peer = pooler(settings={"auth_type": "scram-sha-256"}, users={"scram_user": PASSWORD})
    answers = [b"", b"\0", b"SCRAM-SHA-256\0", b"SCRAM-SHA-256\0\xff\xff\xff\xff",
               b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=abc", b"SCRAM-SHA-1\0\0\0\0\0",
               b"SCRAM-SHA-256-PLUS\0\0\0\0\7p=x,,n=", b"SCRAM-SHA-256\0\0\0\0\4y,,n",
               b"x" * 100_000]
    for answer in answers:
        with wire.Wire(peer.host, peer.port) as connection:
            connection.send(wire.startup(user="scram_user", database="postgres"))
            connection.read_until("R")
            connection.send(wire.frame("p", answer))
            with contextlib.suppress(OSError):  # it may have closed already
                connection.socket.shutdown(1)
            messages = connection.read_to_end()
            # "R": a method without its first answer, which PostgreSQL asks for again.
            assert all(kind in "ER" for kind, _ in messages), (answer[:30], messages)
    assert attempt(peer, "scram_user", PASSWORD) is None


def test_many_logins_do_not_hold_up_traffic(pooler):
    """SCRAM with many iterations costs much; a client that is logged in does not feel it."""
    peer = pooler(settings={"auth_type": "scram-sha-256", "scram_iterations": "200000"},
                  users={"scram_user": PASSWORD})
    with wire.connect(peer, user="scram_user", secret=PASSWORD) as busy:
        others = [wire.Wire(peer.host, peer.port) for _ in range(30)]
        for other in others:
            other.send(wire.startup(user="scram_user", database="postgres"))
            other.send(wire.Scram("x").first())
        process.until(lambda: busy.rows("select 1") == ["1"], "an answer", patience=2)
        for other in others:
            other.close()
