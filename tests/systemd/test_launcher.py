"""An installed program that cannot start: the launcher falls back to the last that could."""

import pathlib

import process
from service import SOCKET, UNIT, systemctl


def wait_for_last_good(service):
    """The running program has put itself into the FD store."""
    service.until_journal("this executable is kept as the last good one", 40)


def broken(service, kind):
    if kind == "exits":
        service.install_script("#!/bin/sh\nexit 1\n")
    elif kind == "no program":
        service.install_script("\x01\x02not a program\n")
    elif kind == "missing":
        service.program.unlink()
    elif kind == "dies":
        service.install_script("#!/bin/sh\nkill -SEGV $$\n")
    else:
        # Needs a library that is not there: the loader ends it.
        data = bytearray(service.original.read_bytes())
        name = b"libevent_core-2.1.so.7"
        assert name in data
        data = data.replace(name, b"libmissing-here-2.so.7")
        path = pathlib.Path("/root/unlinked")
        path.write_bytes(bytes(data))
        service.install(path)


KINDS = ("exits", "dies", "no program", "missing", "no library")


def test_the_last_good_program_takes_over(service):
    service.start()
    wait_for_last_good(service)
    for kind in KINDS:
        good = service.pid()
        broken(service, kind)
        service.mark()
        systemctl("restart", UNIT, check=False)
        fallen_back = service.until_replaced(good)
        with service.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,), kind
        service.until_journal("starting the last good executable instead")
        service.until_journal("this is the last good executable, not the installed one")
        process.until(lambda: "runs the last good executable" in service.show("StatusText"),
                      f"the status says so ({kind})", 30)
        # Repaired: the next start is of the installed one again.
        service.install(service.original)
        service.mark()
        systemctl("restart", UNIT)
        service.until_replaced(fallen_back)
        assert "last good" not in service.journal(), kind


def test_without_a_last_good_one_it_keeps_trying_at_leisure(service):
    systemctl("start", SOCKET)
    broken(service, "exits")
    systemctl("start", UNIT, check=False)
    process.until(lambda: int(service.show("NRestarts")) >= 4, "it is started again", 30, 0.1)
    service.install(service.original)
    service.until_running()
    # What came to nothing is forgotten.
    starts = pathlib.Path("/run/pg_doorman/starts")
    process.until(lambda: not starts.exists(), "the count of failed starts is gone", 30)
