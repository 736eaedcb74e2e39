"""`systemctl restart` and the death of the process: clients keep what they have."""

import signal

import psycopg
import pytest

import process
from load import IdleClients, Load
from service import SOCKET, UNIT, cpu_of_pid1, systemctl


def restart(service):
    systemctl("restart", UNIT)


def kill(service):
    service.kill()


def abort(service):
    service.kill(signal.SIGABRT)


@pytest.mark.parametrize("event", [restart, kill, abort])
@pytest.mark.parametrize("sockets", ["systemd's sockets", "own sockets"])
def test_idle_clients_keep_connection_statements_and_parameters(service, event, sockets):
    if sockets == "own sockets":
        service.configure(unix_socket_dir="/run/pg_doorman")
    service.drop_in("core", "[Service]\nLimitCORE=0\n")
    service.start(with_socket=sockets == "systemd's sockets")
    with IdleClients(service) as idle:
        for _ in range(2):
            pid = service.pid()
            event(service)
            assert service.pid() != pid
            idle.check()
        assert len(service.console("SHOW CLIENTS")) >= len(idle.connections)


def test_restarts_under_load_are_not_noticed(service):
    service.start()
    with IdleClients(service) as idle:
        with Load(service) as load:
            for _ in range(4):
                restart(service)
                load.until_all_have_worked()
        load.check_nobody_noticed()
        idle.check()


def test_kills_under_load_lose_nothing(service):
    service.start()
    with IdleClients(service) as idle:
        with Load(service) as load:
            for _ in range(4):
                kill(service)
                load.until_all_have_worked()
        load.check_nothing_wrong()
        idle.check()
    # No session of PostgreSQL is left behind: what the pooler has is what there is.
    def no_more_than_known():
        there = service.cluster.ask("select count(*) from pg_stat_activity where backend_type = "
                                    "'client backend' and pid <> pg_backend_pid()")[0][0]
        return there <= len(service.console("SHOW SERVERS"))
    process.until(no_more_than_known, "PostgreSQL has no session that we do not know", 30, 0.2)


def test_a_client_in_a_transaction_gets_one_clean_answer_after_a_kill(service):
    service.start()
    with service.connect() as connection:
        connection.autocommit = False
        connection.execute("create temp table mine (id int)")
        kill(service)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("insert into mine values (1)")


def test_a_client_in_a_transaction_goes_on_after_a_restart(service):
    service.start()
    with service.connect() as connection:
        connection.autocommit = False
        before = connection.execute("select pg_backend_pid(), txid_current()").fetchone()
        restart(service)
        assert connection.execute("select pg_backend_pid(), txid_current()").fetchone() == before
        connection.commit()


def test_stop_empties_the_store(service):
    service.start()
    with service.connect() as connection:
        connection.execute("select 1")
        systemctl("stop", SOCKET, UNIT)
        with pytest.raises(psycopg.OperationalError, match="due to administrator command"):
            connection.execute("select 1")
    assert service.show("NFileDescriptorStore") in ("0", "")


def test_pid_1_has_little_to_do_with_it(service):
    service.start()
    with IdleClients(service, count=200) as idle:
        for event in (restart, kill):
            service.until_proven()
            before = cpu_of_pid1()
            event(service)
            spent = cpu_of_pid1() - before
            print(f"{event.__name__}: {spent * 1000:.1f} ms of PID 1")
            assert spent < 0.3  # with the questions that the test asks meanwhile
            idle.check()
