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
    explained: object = None  # the explain.Variation under which PostgreSQL answers the same


class Wrong(Exception):
    """The answer differs."""


class Replay:
    """`size` is the pool's: how many servers there are for the client and the others together."""

    def __init__(self, peer, database, size, patience, explainer):
        self.peer = peer
        self.database = database
        self.size = size
        self.patience = patience
        self.explainer = explainer
        self.expected = None
        self.got = []

    def run(self, expected, seed, login, cut=True):
        """The Difference, or None. `expected` is a trial.Expected; in the end self.expected is
        another one where the answer is explained."""
        self.expected = expected
        self.got = []
        random_cuts = random.Random(seed) if cut else None
        connection = wire.connect(self.peer, self.patience, database=self.database, **login)
        try:
            with connection, Others(self.peer, self.database, self.size, self.patience) as others:
                self.talk(connection, random_cuts, others)
        except Wrong as wrong:
            return Difference(str(wrong), self.got)
        except wire.Closed:
            return Difference("the pooler closed the connection", self.got)
        except (BrokenPipeError, ConnectionResetError):
            return Difference("the pooler cut the connection", self.got)
        except TimeoutError:
            return Difference("silence where an answer was due", self.got)
        return None

    def talk(self, connection, random_cuts, others):
        pending = b""
        last = None  # place of what was sent last
        said = self.expected.said()
        for place, message in enumerate(said):
            if message[0] != "wait":
                pending += messages.encode(message)
                last = place
                continue
            send(connection, pending, random_cuts)
            pending = b""
            self.read_to(connection, place)
            for action in message[1]:
                others.act(action, self.needs_server(last))
        send(connection, pending, random_cuts)
        if said:
            self.read_to(connection, len(said) - 1)
        if not self.expected.ended:
            connection.send(wire.TERMINATE)
        self.read_rest(connection)

    def needs_server(self, last):
        answer = self.expected.answers[last] if last is not None else None
        return answer is not None and (answer.pinned or not answer.idle)

    def read_to(self, connection, place):
        """All that must have come when the answer in this place has been given."""
        end = time.monotonic() + self.patience
        while len(self.got) < self.expected.due[place]:
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
        frames = self.expected.frames
        if len(self.got) <= len(frames) and same(frames[len(self.got) - 1], frame):
            return
        explained = self.explainer.find(self.expected.said(), self.got)
        if not explained:
            raise Wrong("another frame" if len(self.got) <= len(frames) else "a frame too many")
        self.expected = explained


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
