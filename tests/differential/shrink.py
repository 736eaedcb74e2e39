"""The shortest sequence that still fails: parts are dropped for as long as it does."""

import time

SECONDS = 60


def without(messages, start, size):
    return messages[:start] + messages[start + size:]


def shrink(sequence, fails, seconds=SECONDS):
    """`fails(sequence)` says whether it still does. Returns the shortest that was found."""
    end = time.monotonic() + seconds
    shorter = True
    if sequence["login"] and fails({**sequence, "login": {}}):
        sequence = {**sequence, "login": {}}
    while shorter and time.monotonic() < end:
        shorter = False
        size = max(1, len(sequence["messages"]) // 2)
        while size and time.monotonic() < end:
            start = 0
            while start < len(sequence["messages"]) and time.monotonic() < end:
                candidate = {**sequence, "messages": without(sequence["messages"], start, size)}
                if fails(candidate):
                    sequence, shorter = candidate, True
                else:
                    start += size
            size //= 2
        for place, message in enumerate(sequence["messages"]):
            if message[0] == "wait" and message[1]:
                for number in reversed(range(len(message[1]))):
                    fewer = ["wait", without(sequence["messages"][place][1], number, 1)]
                    messages = list(sequence["messages"])
                    messages[place] = fewer
                    if fails({**sequence, "messages": messages}):
                        sequence, shorter = {**sequence, "messages": messages}, True
    return sequence
