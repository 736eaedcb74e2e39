"""A failure, for people: the sequence, both transcripts side by side, how to see it again."""

import struct

import messages
from kinds import comparable, same

WIDTH = 76
MOST_LINES = 60  # of a transcript: its end


def frame_text(frame):
    kind, body = comparable(frame)
    if isinstance(body, dict):
        rest = " ".join(f"{name}={text!r}" for name, text in body.items() if name not in "SVCM")
        return f"{kind} {body.get('S')} {body.get('C')} {body.get('M')} {rest}".rstrip()
    if kind == "D":
        count, = struct.unpack("!H", body[:2])
        values, place = [], 2
        for _ in range(count):
            size, = struct.unpack("!i", body[place:place + 4])
            place += 4
            values.append("null" if size < 0 else repr(body[place:place + size])[1:])
            place += max(0, size)
        return "D " + ", ".join(values)
    if kind == "T":
        names, rest = [], body[2:]
        while rest:
            name, rest = rest.split(b"\0", 1)
            names.append(name.decode("utf8", "replace"))
            rest = rest[18:]
        return "T " + ", ".join(names)
    return f"{kind} {repr(body)[2:-1]}".rstrip()


def short(text, width=WIDTH):
    return text if len(text) <= width else text[:width - 3] + "..."


def transcript(answers, got):
    """Each message, and under it PostgreSQL's frames on the left and the pooler's on the right."""
    lines = [f"{'PostgreSQL':{WIDTH}} | through pg_doorman"]
    rest = list(got)
    for answer in answers:
        lines.append("> " + short(messages.show(answer.message), 2 * WIDTH))
        for frame in answer.frames:
            found = rest.pop(0) if rest else None
            mark = "|" if found and same(frame, found) else "#"
            right = frame_text(found) if found else "(nothing)"
            lines.append(f"  {short(frame_text(frame), WIDTH - 2):{WIDTH - 2}} {mark} "
                         f"{short(right)}")
            if mark == "#":
                return lines + ["  PostgreSQL: " + frame_text(frame), "  pg_doorman: " + right]
    for frame in rest:
        lines.append(f"  {'':{WIDTH - 2}} # {short(frame_text(frame))}")
    return lines


def report(pool, sequence, expected, difference, notes=()):
    lines = ["", f"==== seed {sequence['seed']} through {pool.name}: {difference.what}"]
    lines += [f"     {note}" for note in notes]
    if sequence["login"]:
        lines.append(f"login with {sequence['login']}")
    both = transcript(expected.answers, difference.got)
    lines += both[:1] + (["..."] if len(both) > MOST_LINES else []) + both[1:][-MOST_LINES:]
    lines += ["again: tests/differential/run "
              f"--seeds {sequence['seed']}-{sequence['seed']} --pool {pool.name}",
              "or, without generating it: tests/differential/run --sequence FILE "
              f"--pool {pool.name}, with", to_json(sequence)]
    return "\n".join(lines)


def to_json(sequence):
    """One message a line."""
    head = {name: value for name, value in sequence.items() if name != "messages"}
    inner = ",\n    ".join(messages.show(message) for message in sequence["messages"])
    return messages.show(head)[:-1] + ', "messages": [\n    ' + inner + "]}"
