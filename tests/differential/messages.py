"""The messages of a sequence: lists that JSON can hold, and the bytes that they stand for.

    ["parse", name, sql, [types]]                       ["sync"]
    ["bind", portal, statement, [values], [formats], [results]]   ["flush"]
    ["describe", "S" or "P", name]                      ["copy_data", text]
    ["execute", portal, rows]                           ["copy_done"]
    ["close", "S" or "P", name]                         ["copy_fail", text]
    ["query", sql]                                      ["call", oid, [values]]
    ["raw", type, hex]: any body at all
    ["wait", [actions]]: what stands before it is sent and answered; then others act, see others.py

A value is a text, null, or {"hex": bytes}.
"""

import json

import wire


def value(given):
    return bytes.fromhex(given["hex"]) if isinstance(given, dict) else given


ENCODERS = {
    "parse": lambda name, sql, types=(): wire.parse(sql, name, types),
    "bind": lambda portal, statement, values=(), formats=(), results=(): wire.bind(
        [value(each) for each in values], portal, statement, formats, results),
    "describe": wire.describe,
    "execute": lambda portal="", rows=0: wire.execute(portal, rows),
    "close": wire.close,
    "sync": lambda: wire.SYNC,
    "flush": lambda: wire.FLUSH,
    "query": wire.query,
    "copy_data": wire.copy_data,
    "copy_done": lambda: wire.COPY_DONE,
    "copy_fail": wire.copy_fail,
    "call": lambda oid, values: wire.function_call(oid, *(each.encode() for each in values)),
    "raw": lambda kind, body: wire.frame(kind, bytes.fromhex(body)),
}

TYPES = {"parse": "P", "bind": "B", "describe": "D", "execute": "E", "close": "C", "sync": "S",
         "flush": "H", "query": "Q", "copy_data": "d", "copy_done": "c", "copy_fail": "f",
         "call": "F"}


def encode(message):
    return ENCODERS[message[0]](*message[1:])


def type_of(message):
    """The byte that the message begins with."""
    return message[1] if message[0] == "raw" else TYPES[message[0]]


def show(message):
    return json.dumps(message)
