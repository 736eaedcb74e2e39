"""Whether PostgreSQL itself could have answered as the pooler did, and why.

Where an answer differs, PostgreSQL is asked again under the variations that the pool can bring
about, one after the other, in a database of its own: the pooler's client is still in the middle of
its sequence. What the pooler has said so far must be the beginning of one such answer, and what it
says from there on is compared with that one, to the last frame and to the rows.
"""

import dataclasses

import kinds
import messages


@dataclasses.dataclass(frozen=True)
class Variation:
    kind: str  # of kinds.VARIATIONS
    reason: str  # the kind, and where
    login: dict = dataclasses.field(default_factory=dict)
    anew: frozenset = frozenset()  # places of messages, see record.record()


def acts(sequence):
    return any(message[0] == "wait" and message[1] for message in sequence["messages"])


def may_lack(pool, sequence):
    """Whether a client's server may lack a statement: it was evicted, it is in another server, or
    another client has had it forgotten."""
    texts = {message[2] for message in sequence["messages"] if message[0] == "parse"}
    return len(texts) > pool.cache or pool.size > 1 or acts(sequence)


def may_share(pool, sequence):
    """Whether a statement may have been run before its client prepared it."""
    return any(message[0] == "parse" and (message[1] or pool.unnamed)
               for message in sequence["messages"])


def variations(pool, sequence):
    lacks, shares = may_lack(pool, sequence), may_share(pool, sequence)
    if shares:
        yield plans(kinds.FOR_ALL_VALUES, "force_generic_plan")
    if shares or lacks:
        yield plans(kinds.FOR_ITS_VALUES, "force_custom_plan")
    if lacks:
        places = [place for place, message in enumerate(sequence["messages"])
                  if message[0] == "bind" or message[:2] == ["describe", "S"]]
        for place in places:
            message = messages.show(sequence["messages"][place])
            yield anew(f"before message {place + 1}, {message}", [place])
        yield anew("before each Bind and Describe", places)


def anew(where, places):
    return Variation(kinds.PREPARED_ANEW, f"{kinds.PREPARED_ANEW} {where}", anew=frozenset(places))


def plans(kind, mode):
    return Variation(kind, kind, login={"options": f"-c plan_cache_mode={mode}"})


class Explainer:
    """Of one sequence through one pool. Asks PostgreSQL only when something differs, and each thing
    once."""

    def __init__(self, database, sequence, pool):
        self.database = database
        self.sequence = sequence
        self.asked = []  # trial.Expected
        self.left = variations(pool, sequence)

    def find(self, said, got, rows=None):
        """The Expected to the messages `said` that begins with `got`, or None; with `rows` it is to
        be this and no more."""
        for expected in self.answers():
            if (expected.said() == said and expected.begins(got) and
                    (rows is None or expected.is_whole(got) and expected.rows == rows)):
                return expected
        return None

    def answers(self):
        yield from self.asked
        for variation in self.left:
            expected = self.database.expect(self.sequence, variation)
            if not expected.silent:
                self.asked.append(expected)
                yield expected
