"""A recorded sequence once more, through the pooler: cut into other writes, with others between."""

import dataclasses
import random
import time

import messages
import wire
from kinds import same
from others import Others


@dataclasses.dataclass
class Difference:
    what: str
    got: list  # the frames that came, up to the first that is wrong


class Wrong(Exception):
    """The answer differs."""


class Replay:
    """`size` is the pool's: how many servers there are for the client and the others together."""

    def __init__(self, peer, database, size, patience=30.0):
        self.peer = peer
        self.database = database
        self.size = size
        self.patience = patience
        self.expected = []
        self.got = []

    def run(self, answers, seed, login, cut=True):
        """The Difference, or None. `answers` are those of record.record()."""
        self.expected = [frame for answer in answers for frame in answer.frames]
        self.got = []
        random_cuts = random.Random(seed) if cut else None
        connection = wire.connect(self.peer, self.patience, database=self.database, **login)
        try:
            with connection, Others(self.peer, self.database, self.size, self.patience) as others:
                self.talk(connection, answers, random_cuts, others)
        except Wrong as wrong:
            return Difference(str(wrong), self.got)
        except wire.Closed:
            return Difference("the pooler closed the connection", self.got)
        except (BrokenPipeError, ConnectionResetError):
            return Difference("the pooler cut the connection", self.got)
        except TimeoutError:
            return Difference("silence where an answer was due", self.got)
        return None

    def talk(self, connection, answers, random_cuts, others):
        pending = b""
        frames = due = 0
        idle, pinned = True, False
        for answer in answers:
            if answer.message[0] != "wait":
                pending += messages.encode(answer.message)
                frames += len(answer.frames)
                due = frames if answer.flushed else due
                idle, pinned = answer.idle, answer.pinned
                continue
            send(connection, pending, random_cuts)
            pending = b""
            self.read_to(connection, due)
            for action in answer.message[1]:
                others.act(action, needs_server=not idle or pinned)
        send(connection, pending, random_cuts)
        self.read_to(connection, due)
        connection.send(wire.TERMINATE)
        self.read_rest(connection)

    def read_to(self, connection, count):
        end = time.monotonic() + self.patience
        while len(self.got) < count:
            if time.monotonic() > end:
                raise TimeoutError()
            self.take(connection.read())

    def read_rest(self, connection):
        """What PostgreSQL would not have sent yet may come at the end or not."""
        try:
            while True:
                self.take(connection.read())
        except (wire.Closed, ConnectionResetError):
            pass

    def take(self, frame):
        self.got.append(frame)
        if len(self.got) > len(self.expected):
            raise Wrong("a frame too many")
        if not same(self.expected[len(self.got) - 1], frame):
            raise Wrong("another frame")


def send(connection, data, random_cuts):
    """Sends `data`, in several writes at random, some of them with a moment between."""
    if not data:
        return
    cuts = []
    if random_cuts and len(data) > 1:
        cuts = sorted(random_cuts.sample(range(1, len(data)),
                                         min(len(data) - 1, random_cuts.choice((0, 0, 1, 2, 5)))))
    start = 0
    for cut in cuts:
        connection.send(data[start:cut])
        start = cut
        if random_cuts.random() < 0.5:
            time.sleep(0.0003)  # so that the pooler sees the part alone, most of the time
    connection.send(data[start:])
