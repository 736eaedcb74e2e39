"""A random order of events, under load; a checker counts every transaction. Upgrades and downgrades
are to programs that write records of later and earlier versions.

PG_DOORMAN_TEST_SEED repeats a run, PG_DOORMAN_TEST_STEPS makes it longer.
"""

import os
import random

import releases
from load import IdleClients, Load
from service import UNIT, systemctl


class World:
    def __init__(self, service, chance):
        self.service = service
        self.chance = chance

    def upgrade(self):
        self.install(releases.CURRENT, releases.NEWER)
        self.reload_program()

    def downgrade(self):
        self.install(releases.OLDER)
        self.reload_program()

    def restart(self):
        self.install(*releases.VERSIONS)
        systemctl("restart", UNIT)
        self.check()

    def kill(self):
        self.install(*releases.VERSIONS)
        self.service.kill()
        self.check()

    def reload(self):
        self.service.configure(upgrade_probation="300ms",
                               default_pool_size=self.chance.randint(3, 8))
        systemctl("kill", "-s", "HUP", UNIT)
        self.service.until_running()

    def pause(self):
        self.service.console("PAUSE")
        if self.chance.random() < 0.5:
            self.upgrade()  # and stays paused
        self.service.console("RESUME")

    def nothing(self):
        pass

    def install(self, *some):
        self.installed = self.chance.choice(some)
        print("   ", self.installed)
        releases.install(self.service, self.installed)

    def reload_program(self):
        systemctl("reload", UNIT)
        self.check()

    def check(self):
        assert releases.running(self.service) == self.installed


def test_a_random_order_of_events(service):
    seed = int(os.environ.get("PG_DOORMAN_TEST_SEED", random.randrange(1 << 32)))
    steps = int(os.environ.get("PG_DOORMAN_TEST_STEPS", "10"))
    print("PG_DOORMAN_TEST_SEED =", seed)
    chance = random.Random(seed)
    world = World(service, chance)
    service.configure(upgrade_probation="300ms")
    service.start()
    gentle = [world.upgrade, world.downgrade, world.restart, world.reload, world.pause, world.nothing]
    with IdleClients(service) as idle:
        for rough, events in ((False, gentle), (True, [*gentle, world.kill, world.kill])):
            with Load(service) as load:
                for step in range(steps):
                    event = chance.choice(events)
                    print("step", step, event.__name__)
                    event()
                    load.until_all_have_worked()
            if rough:
                load.check_nothing_wrong()
            else:
                load.check_nobody_noticed()
            idle.check()
