"""`systemctl restart`: clients keep what they have."""

import psycopg
import pytest

from load import IdleClients, Load
from service import SOCKET, UNIT, cpu_of_pid1, systemctl


def restart(service):
    systemctl("restart", UNIT)


@pytest.mark.parametrize("event", [restart])
@pytest.mark.parametrize("sockets", ["systemd's sockets", "own sockets"])
def test_idle_clients_keep_connection_statements_and_parameters(service, event, sockets):
    if sockets == "own sockets":
        service.configure(unix_socket_dir="/run/pg_doorman")
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
        for event in (restart,):
            before = cpu_of_pid1()
            event(service)
            spent = cpu_of_pid1() - before
            print(f"{event.__name__}: {spent * 1000:.1f} ms of PID 1")
            assert spent < 0.1  # with the questions that the test asks
            idle.check()
