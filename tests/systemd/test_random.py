"""A random order of events, under load; a checker counts every transaction.

PG_DOORMAN_TEST_SEED repeats a run, PG_DOORMAN_TEST_STEPS makes it longer.
"""

import os
import random

from load import IdleClients, Load
from service import UNIT, systemctl


class World:
    def __init__(self, service, chance):
        self.service = service
        self.chance = chance

    def upgrade(self):
        systemctl("reload", UNIT)

    def restart(self):
        systemctl("restart", UNIT)

    def kill(self):
        self.service.kill()

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


def test_a_random_order_of_events(service):
    seed = int(os.environ.get("PG_DOORMAN_TEST_SEED", random.randrange(1 << 32)))
    steps = int(os.environ.get("PG_DOORMAN_TEST_STEPS", "10"))
    print("PG_DOORMAN_TEST_SEED =", seed)
    chance = random.Random(seed)
    world = World(service, chance)
    service.configure(upgrade_probation="300ms")
    service.start()
    gentle = [world.upgrade, world.restart, world.reload, world.pause, world.nothing]
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
