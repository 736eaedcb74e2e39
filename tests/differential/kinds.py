"""What may differ and what is not generated: the one list of both.

Frames are compared byte by byte but for what `comparable` drops. Where they differ nevertheless,
PostgreSQL may answer so itself under one of the VARIATIONS: that is asked of it, see explain.py,
and told, with the seed and the reason, apart from what has passed. Sequences hold only what
docs/PROTOCOL.md promises to be as in PostgreSQL, in transaction mode: no cursors WITH HOLD, no
temporary tables beyond their transaction, no session-level advisory locks, nothing that reads an
untracked parameter that another transaction has set.
"""

import re

import wire

# Switches, each for a kind of sequence that the pooler must one day answer right.
UNNAMED_FOLLOWS = True  # the unnamed statement outlives its transaction
SQL_NAMES = True  # PREPARE, EXECUTE and DEALLOCATE of SQL's statements and the protocol's
NAMES_IN_ERRORS = True  # an error that names a statement has the client's name for it

# What PostgreSQL's own answer depends on and is the server's matter, not the client's: see
# PROTOCOL.md, known differences. Whether a pool can bring it about explain.py says.
FOR_ALL_VALUES = "planned for all values"  # others, too, have run it: a generic plan
FOR_ITS_VALUES = "planned for its values"  # it was run less often on this server: a custom plan
PREPARED_ANEW = "prepared anew"  # before one Bind or Describe, or each: the server lacked it
VARIATIONS = (FOR_ALL_VALUES, FOR_ITS_VALUES, PREPARED_ANEW)

# SQL after which a client may keep its server.
PINS = re.compile(r"(?i)\bprepare\b")

# A query that in a failed transaction is more than an error and for which a server may lack a name:
# see PROTOCOL.md, known differences.
ENDS_AND_EXECUTES = re.compile(r"(?is)\b(rollback|abort|commit|end)\b.*\bexecute\b")


def comparable(frame):
    """The frame without what may differ: who the backend is (BackendKeyData, the sender of a
    notification), and the file, line and routine of an error."""
    kind, body = frame
    if kind == "K":
        return kind, b""
    if kind == "A":
        return kind, body[4:]
    if kind in "EN":
        fields = {name: text for name, text in wire.fields(body).items() if name not in "FLR"}
        if not NAMES_IN_ERRORS and fields["M"].startswith("bind message supplies"):
            fields["M"] = re.sub(r'prepared statement "[^"]*"', "prepared statement", fields["M"])
        return kind, fields
    return frame


def same(expected, got):
    if expected == got or comparable(expected) == comparable(got):
        return True
    # In a failed transaction a server cannot prepare a statement that it lacks: it says so before
    # it can see what else is wrong with the message.
    return (expected[0] == got[0] == "E" and wire.fields(got[1])["C"] == "25P02" and
            wire.fields(expected[1])["M"].startswith(("bind message supplies", "cannot insert")))
