"""Programs of other releases, see tests/support/faulty_main.cc: versions of their records."""

import os
import pathlib

CURRENT, OLDER, NEWER = "current", "older", "newer"
VERSIONS = {OLDER: "1", CURRENT: "2", NEWER: "3"}


def install(service, release):
    built = pathlib.Path(os.environ["BUILD"], "tests", f"pg_doorman_{release}")
    source = service.original if release == CURRENT else built
    assert source.exists(), f"{source} is missing: cmake --build … --target other_releases"
    service.install(source)


def figures(service):
    return {row["key"]: str(row["value"]) for row in service.console("SHOW STASH")}


def running(service):
    writes = figures(service)["record_version"]
    found, = [name for name, version in VERSIONS.items() if version == writes]
    return found
