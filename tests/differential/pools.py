"""The pools through which sequences go. A name says it all: "pool3-cache100", "pool1-cache2-unnamed".
"""

import dataclasses
import time

import psycopg

from pooler import Pooler

SIZES = (1, 3)
CACHES = (1, 2, 100)
SHARE_UNNAMED = True  # whether there are pools with share_unnamed_statements


@dataclasses.dataclass
class Pool:
    name: str
    size: int
    cache: int
    unnamed: bool
    pooler: Pooler = None

    def database(self, of_job):
        return f"{of_job}_{self.name.replace('-', '_')}"

    def renew(self, of_job):
        """Its idle servers are closed, the others when they are free."""
        with self.pooler.console() as console:
            console.execute(f"RECONNECT {self.database(of_job)}")

    def wait_until_it_serves(self, of_job):
        """After PostgreSQL has gone down: its clients get errors until a server can log in."""
        end = time.monotonic() + 30
        while True:
            try:
                with self.pooler.connect(dbname=self.database(of_job)) as connection:
                    connection.execute("select 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def all_pools():
    return [Pool(f"pool{size}-cache{cache}" + "-unnamed" * unnamed, size, cache, unnamed)
            for unnamed in ((False, True) if SHARE_UNNAMED else (False,))
            for cache in CACHES for size in SIZES]


def choose(names):
    pools = all_pools()
    unknown = set(names) - {pool.name for pool in pools}
    if unknown:
        raise SystemExit(f"no pool {', '.join(unknown)}; there are: "
                         + " ".join(pool.name for pool in pools))
    return [pool for pool in pools if not names or pool.name in names]


def start(cluster, pools, databases):
    """One process for each size of the cache. Returns them; each pool gets its own."""
    started = []
    for cache in sorted({pool.cache for pool in pools}):
        chosen = [pool for pool in pools if pool.cache == cache]
        server = f"host={cluster.host} port={cluster.port}"
        lines = {pool.database(name): f"{server} dbname={name} pool_size={pool.size}"
                 + " share_unnamed_statements=1" * pool.unnamed
                 for pool in chosen for name in databases}
        pooler = Pooler(cluster, databases=lines, settings={"max_prepared_statements": str(cache),
                                                            "log_connections": "0",
                                                            "log_disconnections": "0"})
        started.append(pooler.start())
        for pool in chosen:
            pool.pooler = pooler
    return started
