"""SIGHUP, SIGTERM and SIGINT; good and bad files."""

import signal
import subprocess
import time

import process
import pytest
import wire


def config(peer, key):
    return next(row["value"] for row in peer.show("CONFIG") if row["key"] == key)


def hang_up(peer):
    peer.write()
    peer.signal(signal.SIGHUP)


def test_new_settings_apply_and_nobody_is_dropped(pooler):
    peer = pooler()
    with wire.connect(peer) as idle, wire.connect(peer) as busy:
        busy.ask("begin")
        peer.settings["default_pool_size"] = "7"
        peer.settings["query_wait_timeout"] = "33"
        hang_up(peer)
        process.until(lambda: config(peer, "default_pool_size") == "7", "the new value")
        assert idle.rows("select 1") == ["1"]
        assert busy.ask("commit")[-1] == ("Z", b"I")


def test_new_database_and_user(pooler):
    peer = pooler()
    peer.databases["added"] = ""
    peer.users["late"] = ""
    hang_up(peer)
    process.until(lambda: "added" in [row["name"] for row in peer.show("DATABASES")], "it is there")
    with wire.connect(peer, database="added") as connection:
        assert connection.rows("select 1") == ["1"]


@pytest.mark.parametrize("text", ("[pgbouncer]\nno_such_key = 1\n", "[nonsense]\n",
                                  "[pgbouncer]\ndefault_pool_size = many\n", "", "\0\xff"))
def test_bad_file_changes_nothing(pooler, text):
    peer = pooler(settings={"default_pool_size": "3"})
    with wire.connect(peer) as connection:
        peer.write_raw(text)
        peer.signal(signal.SIGHUP)
        time.sleep(0.3)
        assert config(peer, "default_pool_size") == "3"
        assert connection.rows("select 1") == ["1"]
    with wire.connect(peer) as connection:
        assert connection.rows("select 2") == ["2"], "the database is still there"
    hang_up(peer)
    peer.settings["default_pool_size"] = "4"
    hang_up(peer)
    process.until(lambda: config(peer, "default_pool_size") == "4", "a good file applies again")


def test_bad_file_is_refused_at_start(pooler):
    peer = pooler()
    peer.write_raw("[pgbouncer]\nlisten_prot = 1\n")
    result = subprocess.run([peer.program, peer.ini], capture_output=True, text=True, timeout=10,
                            user=process.unprivileged()[0], check=False)
    assert result.returncode != 0
    assert "listen_prot" in result.stderr + result.stdout


def test_hundred_reloads_under_load(pooler):
    peer = pooler()
    with wire.connect(peer) as connection:
        for number in range(100):
            peer.settings["default_pool_size"] = str(2 + number % 5)
            hang_up(peer)
            assert connection.rows("select 1") == ["1"]


def test_term_lets_transactions_finish(pooler):
    peer = pooler()
    with wire.connect(peer) as busy:
        busy.ask("begin")
        peer.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert busy.rows("select 5") == ["5"]
        assert busy.ask("commit")[-1][0] == "Z"
        process.until(lambda: peer.process.poll() is not None, "it ends", patience=10)
    assert peer.process.returncode == 0


def test_second_term_ends_at_once(pooler):
    peer = pooler()
    with wire.connect(peer) as busy:
        busy.ask("begin")
        peer.signal(signal.SIGTERM)
        time.sleep(0.3)
        peer.signal(signal.SIGTERM)
        process.until(lambda: peer.process.poll() is not None, "it ends", patience=3)
        assert [wire.fields(body)["C"] for kind, body in busy.read_to_end() if kind == "E"] in (
            ["57P01"], [])


def test_int_ends(pooler):
    peer = pooler()
    with wire.connect(peer) as idle:
        idle.rows("select 1")
        peer.signal(signal.SIGINT)
        process.until(lambda: peer.process.poll() is not None, "it ends", patience=5)
