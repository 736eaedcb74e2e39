"""What PostgreSQL itself answers to a sequence, message by message.

Each message is sent alone, and its answer read to its end, which is known: a model of the
protocol's states says which frames end it. So that PostgreSQL answers at once, a Flush follows
each message of the extended protocol; it changes nothing but when frames are sent.

Messages whose answer is not promised to be the same through the pooler, or not even by PostgreSQL
to itself, are left out here, since only here it is known: see `promised`.
"""

import dataclasses
import re

import kinds
import messages
import wire

# What ends the answer to a message, where the server is not skipping and no COPY runs.
ENDS = {"P": "1E", "B": "2E", "D": "TnE", "E": "CsIEG", "C": "3E", "S": "Z", "Q": "ZG", "F": "Z",
        "H": "", "d": "", "c": "", "f": ""}
NEEDS_FLUSH = "PBDEC"
GOOD_KEY = re.compile(rb"\s*[-+]?\d{1,9}\s*")
# What a backslash and the next bytes stand for in COPY data.
ESCAPE = re.compile(rb"(?s)\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)")
COLUMN = re.compile(rb"(?s)((?:[^\t\\]|\\.)*)\t")
LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclasses.dataclass
class Answer:
    message: list
    frames: list = dataclasses.field(default_factory=list)
    flushed: bool = False  # PostgreSQL would have sent all frames so far by itself
    idle: bool = False  # afterwards nothing is owed, and no transaction is open
    pinned: bool = False  # afterwards the client has something that lives in its server


class Ended(Exception):
    """PostgreSQL ended the connection."""

    def __init__(self, message, answers=()):
        super().__init__(messages.show(message))
        self.answers = answers  # up to the FATAL error; none where it did not say one


class Silent(Exception):
    """PostgreSQL says nothing where an answer was expected: the model is wrong."""


class Recorder:
    def __init__(self, connection):
        self.connection = connection
        self.status = b"I"  # of the last ReadyForQuery
        self.skipping = False
        self.copy = ""  # "simple" or "extended" while the server reads COPY data
        self.copied = b""  # of the COPY that runs, what is no whole row yet
        self.copy_ended = False  # by the end mark: what follows is ignored
        self.late = ""  # messages since a COPY's data was refused, while nobody has waited
        self.begun = False  # something was sent since the last ReadyForQuery
        self.has_unnamed = False  # an unnamed statement that the pooler promises to know
        self.statements = {}  # the Parse of each name, and of the unnamed one
        self.portals = set()  # bound since the transaction failed
        self.failed = False  # the transaction has failed at least once
        self.pinned = False

    def say(self, message, anew=False):
        """Sends the message and returns its Answer, or None where it is not promised. `anew`: its
        statement is prepared anew just before."""
        kind = messages.type_of(message)
        if not self.promised(message):
            return None
        answer = Answer(message)
        quiet = kind in ("H", "d", "c", "f") and not self.copy
        self.begun = self.begun or not quiet
        try:
            if anew:
                self.prepare_anew(message)
            self.connection.send(messages.encode(message))
            self.answer(kind, message, answer.frames)
        except (wire.Closed, BrokenPipeError, ConnectionResetError) as problem:
            answer.flushed = True
            raise Ended(message, [answer] if is_fatal(answer.frames) else []) from problem
        except TimeoutError as problem:
            raise Silent(messages.show(message)) from problem
        self.note(message, answer)
        return answer

    def prepare_anew(self, message):
        """Before a Bind or Describe: its statement as it was, but without a past. Not where the
        pooler could not do that either."""
        kind, *rest = message
        name = rest[1] if kind == "bind" or kind == "describe" and rest[0] == "S" else None
        if name not in self.statements or self.skipping or self.copy or self.status == b"E":
            return
        self.connection.send(wire.close("S", name) + messages.encode(self.statements[name])
                             + wire.FLUSH)
        while True:
            got, _ = self.connection.read()
            if got == "E":
                raise Ended(message)
            if got == "1":
                return

    def answer(self, kind, message, frames):
        if self.skipping:
            if kind == "S":
                self.skipping = False
                self.read("Z", frames)
        elif self.copy:
            self.answer_in_copy(kind, message, frames)
        else:
            if kind in NEEDS_FLUSH:
                self.connection.send(wire.FLUSH)
            end = self.read("E" if message[0] == "raw" and kind == "H" else ENDS[kind], frames)
            if end == "G":
                self.begin_copy("extended" if kind == "E" else "simple")
            elif end == "E":
                self.skipping = True

    def begin_copy(self, how):
        self.copy = how
        self.copied = b""
        self.copy_ended = False

    def answer_in_copy(self, kind, message, frames):
        how = self.copy
        if kind in "HS":
            return
        if kind == "d":
            if not self.ends_badly(messages.encode(message)[5:]):
                return
            end = self.read("E", frames)
            self.late = "d"
        else:
            if how == "extended":
                self.connection.send(wire.FLUSH)
            end = self.read("ZG" if how == "simple" else "CE", frames)
        if end == "G":
            self.begin_copy("simple")
            return
        self.copy = ""
        if how == "simple" and end == "E":
            self.read("Z", frames)
        elif end == "E":
            self.skipping = True

    def ends_badly(self, data):
        """Whether COPY refuses what is complete now as soon as it has read it."""
        self.copied += data
        start = place = 0  # of the row, and in it
        while not self.copy_ended and place < len(self.copied):
            byte = self.copied[place:place + 1]
            if byte == b"\\":
                after = self.copied[place + 1:place + 2]
                if not after or after == b"." and len(self.copied) < place + 3:
                    break  # COPY reads on before it decides
                if after == b".":
                    if self.copied[place + 2:place + 3] != b"\n":
                        return True
                    # The end, wherever it stands: what is before it in its row is looked at when
                    # CopyDone has come.
                    self.copy_ended = True
                place += 2
                continue
            place += 1
            if byte == b"\n":
                if not is_good_row(self.copied[start:place - 1]):
                    return True
                start = place
        self.copied = self.copied[start:]
        return False

    def read(self, ends, frames):
        while ends:
            kind, body = self.connection.read()
            frames.append((kind, body))
            if is_fatal(frames):  # EXECUTE of a SAVEPOINT, for one
                raise wire.Closed()
            if kind == "Z":
                self.status = body
                self.begun = False
                if body == b"I":
                    self.failed = False
            if kind in ends:
                return kind
        return ""

    def promised(self, message):
        kind, *rest = message
        if self.late:
            # A Flush with a body is answered there like a Sync.
            self.late += "S" if message[0] == "raw" and rest[0] == "H" else messages.type_of(message)
            if self.late[-1] not in "dcfHS":
                self.late = ""
            elif self.late[-1] in "dcf" and "S" in self.late:
                return False  # whether that Sync gets an answer is not promised, see PROTOCOL.md
        if self.skipping:
            return True
        if self.copy:  # PostgreSQL ends the connection for anything else
            return messages.type_of(message) in "dcfHS"
        # PostgreSQL 15 may read freed memory when a portal is used that was made before its
        # transaction failed. So no such portal is used before that transaction is over.
        if self.status == b"E" and not self.failed:
            self.failed = True
            self.portals.clear()
        if self.failed and (kind == "execute" or rest[:1] == ["P"] and kind == "describe"):
            return rest[-1 if kind == "describe" else 0] in self.portals
        # A server that lacks a statement cannot prepare it in a failed transaction.
        if self.status == b"E" and kind == "describe" and rest[0] == "S":
            return False
        if self.status == b"E" and kind == "query" and kinds.ENDS_AND_EXECUTES.search(rest[0]):
            return False
        if not kinds.UNNAMED_FOLLOWS and not self.has_unnamed:
            if kind == "bind" and rest[1] == "" or kind == "describe" and rest == ["S", ""]:
                return False
        return True

    def note(self, message, answer):
        """Keeps the model in step with what was answered."""
        kind, *rest = message
        got = "".join(frame for frame, _ in answer.frames)
        if kind == "bind" and "2" in got:
            self.portals.add(rest[0])
        if kind == "parse" and rest[0] == "":
            self.has_unnamed = "1" in got
        self.note_statements(message, answer.frames)
        if kind == "query" or "Z" in got and self.status == b"I":
            self.has_unnamed = False
        sql = {"query": 0, "parse": 1}.get(kind)
        if sql is not None and kinds.PINS.search(rest[sql]):
            self.pinned = True
        answer.flushed = got.endswith(("Z", "G")) or "E" in got or kind == "flush"
        answer.idle = self.status == b"I" and not (self.begun or self.copy or self.skipping)
        answer.pinned = self.pinned


    def note_statements(self, message, frames):
        kind, *rest = message
        if kind in ("query", "parse", "raw"):  # the unnamed one ends, or may
            self.statements.pop("", None)
        if kind == "parse" and any(frame == "1" for frame, _ in frames):
            self.statements[rest[0]] = message
        if kind == "close" and rest[0] == "S":
            self.statements.pop(rest[1], None)
        if any(frame == "C" and body.startswith((b"DEALLOCATE", b"DISCARD"))
               for frame, body in frames):
            self.statements.clear()


def is_fatal(frames):
    return bool(frames) and frames[-1][0] == "E" and b"\0VFATAL\0" in frames[-1][1]


def unescape(match):
    text = match[1]
    if text[:1].isdigit() and text[:1] < b"8":
        return bytes([int(text, 8) & 0xff])
    if text[:1] == b"x" and len(text) > 1:
        return bytes([int(text[1:], 16)])
    return LETTERS.get(text, text)


def is_good_row(row):
    """Whether it has an int4 and a text: whatever is wrong otherwise COPY says at its end."""
    columns = COLUMN.findall(row + b"\t")
    return len(columns) == 2 and bool(GOOD_KEY.fullmatch(ESCAPE.sub(unescape, columns[0])))


def record(connection, sequence, anew=()):
    """The Answers to the messages of a sequence; ["wait", …] stay where they are. `anew`: places of
    messages whose statement is prepared anew just before."""
    recorder = Recorder(connection)
    result = []
    for place, message in enumerate(sequence):
        if message[0] == "wait":
            recorder.late = ""
            result.append(Answer(message))
            continue
        try:
            answer = recorder.say(message, place in anew)
        except Ended as ended:
            raise Ended(message, result + ended.answers if ended.answers else []) from ended
        if answer:
            result.append(answer)
    try:
        connection.send(wire.TERMINATE)
        connection.read_to_end()
    except (BrokenPipeError, ConnectionResetError):
        pass
    return result
