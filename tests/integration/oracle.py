"""The oracle: the same frames sent to PostgreSQL and through the pooler must bring the same back.

A conversation is a list of steps, each the bytes to send and the reply messages to wait for (see
Wire.read_until; "." waits for the end of the connection). What may differ stands in `comparable`,
and nowhere else.
"""

import dataclasses

import wire

ALL = ("session", "transaction", "statement")
TRANSACTIONS = ("session", "transaction")  # statement mode refuses transaction blocks
POOL_SIZES = (1, 3)
CANCEL = object()  # in a step's place of bytes: a cancel request, sent when the step before is over


@dataclasses.dataclass
class Case:
    name: str
    steps: list
    modes: tuple = ALL
    cut: bool = False  # short enough to be sent once more for each way to cut it in two
    refused: bool = False  # both end the connection; PostgreSQL's words for it are not asked for
    login: dict = dataclasses.field(default_factory=dict)


def comparable(messages):
    """The messages of one step without what must differ: who the backend is (BackendKeyData, the
    sender of a notification), where in the server's source an error was raised, and which line of a
    function a cancel met. Parameters at login have no order of their own."""
    result = []
    for kind, body in messages:
        if kind == "K":
            body = b""
        elif kind == "A":
            body = body[4:]
        elif kind in "EN":
            body = {name: value for name, value in wire.fields(body).items() if name not in "FLR"}
            if body.get("C") == "57014":
                body.pop("W", None)
        result.append((kind, body))
    if any(kind == "R" for kind, _ in result):
        parameters = sorted(body for kind, body in result if kind == "S")
        result = [("S", parameters)] + [message for message in result if message[0] != "S"]
    return result


def short(messages):
    """For a failure's text: large bodies are not shown whole."""
    return [(kind, body if len(body) < 200 else f"{len(body)} bytes: {body[:80]!r}...")
            for kind, body in messages]


def wait_for(connection, ends):
    if ends == ".":
        return connection.read_to_end() + [("closed", b"")]
    messages = []
    try:
        for end in ends:
            messages += connection.read_until(end)
    except wire.Closed:
        return messages + [("closed", b"")]
    except TimeoutError:
        return messages + [("silence", b"")]
    return messages


def talk(peer, steps, database, send=None, **login):
    """What each step brings back."""
    answers = []
    with wire.connect(peer, database=database, **login) as connection:
        for data, ends in steps:
            try:
                if data is CANCEL:
                    wire.cancel(peer, connection.key)
                else:
                    (send or wire.Wire.send)(connection, data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # an early refusal; what it was is read below
            answers.append(comparable(wait_for(connection, ends)))
    return answers


def compare(expected, found, what=""):
    for number, (wanted, got) in enumerate(zip(expected, found)):
        assert short(got) == short(wanted), f"{what} step {number}"
        assert got == wanted, f"{what} step {number}: large bodies differ"
    assert len(found) == len(expected)


def check_refusal(expected, found):
    """Both ended the connection, and what the pooler said about it has PostgreSQL's SQLSTATE."""
    assert expected[-1][-1] == found[-1][-1] == ("closed", b"")
    for kind, body in found[-1]:
        if kind == "E":
            assert (body["S"], body["C"]) in (("FATAL", "08P01"), ("ERROR", "22012"))


def raw(peer, data, ends):
    """Bytes to a fresh connection, from the very first on."""
    with wire.Wire(peer.host, peer.port) as connection:
        connection.send(data)
        return comparable(wait_for(connection, ends))
