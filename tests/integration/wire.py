"""A PostgreSQL client that is nothing but bytes: it builds messages, sends them, and reads replies.

It checks nothing of what a driver would check, so that tests can say whatever a client could say.
Protocol: PostgreSQL documentation, "Message Formats".
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time


def frame(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def text(value):
    return (value if isinstance(value, bytes) else value.encode()) + b"\0"


def query(sql):
    return frame("Q", text(sql))


def parse(sql, name="", types=()):
    return frame("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(values=(), portal="", statement="", formats=(), results=()):
    body = text(portal) + text(statement)
    body += struct.pack(f"!H{len(formats)}H", len(formats), *formats)
    body += struct.pack("!H", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            value = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(value)) + value
    return frame("B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def describe(kind="P", name=""):
    return frame("D", kind.encode() + text(name))


def execute(portal="", rows=0):
    return frame("E", text(portal) + struct.pack("!I", rows))


def close(kind="S", name=""):
    return frame("C", kind.encode() + text(name))


def copy_data(data):
    return frame("d", data if isinstance(data, bytes) else data.encode())


def copy_fail(reason):
    return frame("f", text(reason))


def function_call(oid, *values):
    body = struct.pack("!IHH", oid, 0, len(values))
    for value in values:
        body += struct.pack("!i", len(value)) + value
    return frame("F", body + struct.pack("!H", 0))


SYNC = frame("S")
FLUSH = frame("H")
COPY_DONE = frame("c")
TERMINATE = frame("X")
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)


def startup(version=(3, 0), **parameters):
    body = b"".join(text(name) + text(value) for name, value in parameters.items())
    return startup_raw(body + b"\0", version)


def startup_raw(body, version=(3, 0)):
    return struct.pack("!IHH", len(body) + 8, *version) + body


def cancel_request(key):
    return struct.pack("!II", 8 + len(key), 80877102) + key


def fields(body):
    """The fields of an ErrorResponse or NoticeResponse, as {letter: text}."""
    parts = body.rstrip(b"\0").split(b"\0")
    return {chr(part[0]): part[1:].decode("utf8", "replace") for part in parts if part}


class Closed(Exception):
    """The peer ended the connection."""


class Wire:
    """One connection. Reads time out after `patience` seconds with TimeoutError."""

    def __init__(self, host, port, patience=15.0):
        self.socket = socket.create_connection((host, port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.patience = patience
        self.key = b""
        self.parameters = {}
        self._received = bytearray()
        self._taken = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_cut(self, data, step=1):
        """Sends `data` in pieces of `step` bytes, each in a packet of its own."""
        for start in range(0, len(data), step):
            self.socket.sendall(data[start:start + step])

    def read_bytes(self, size):
        while len(self._received) - self._taken < size:
            if self._taken > 1 << 20:
                del self._received[:self._taken]
                self._taken = 0
            try:
                got = self.socket.recv(1 << 18)
            except ConnectionResetError as problem:
                raise Closed() from problem
            if not got:
                raise Closed()
            self._received += got
        result = bytes(self._received[self._taken:self._taken + size])
        self._taken += size
        return result

    def read(self):
        """The next message, as (type, body)."""
        kind, length = struct.unpack("!cI", self.read_bytes(5))
        return kind.decode("latin1"), self.read_bytes(length - 4)

    def read_until(self, ends="Z"):
        """All messages up to those in `ends`, which are awaited in order: "ZZ" is two of them."""
        messages = []
        for end in ends:
            while True:
                messages.append(self.read())
                if messages[-1][0] == end:
                    break
        return messages

    def read_to_end(self):
        """All messages until the peer closes. Bytes that are no whole message are dropped."""
        messages = []
        try:
            while True:
                messages.append(self.read())
        except Closed:
            return messages

    def is_closed(self, patience=5.0):
        """Whether the peer closes within `patience`; what it still sends is dropped."""
        self.socket.settimeout(patience)
        try:
            self.read_to_end()
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self.patience)

    def ask(self, sql):
        """Simple query: the messages of its answer."""
        self.send(query(sql))
        return self.read_until("Z")

    def rows(self, sql):
        """Simple query: the first column of its rows."""
        messages = self.ask(sql)
        for kind, body in messages:
            if kind == "E":
                raise AssertionError(f"{sql}: {fields(body)}")
        return [body[6:6 + max(0, struct.unpack("!i", body[2:6])[0])].decode()
                for kind, body in messages if kind == "D"]

    def login(self, secret=None, version=(3, 0), **parameters):
        """Startup and authentication. Returns the messages after it up to ReadyForQuery, or up to
        the ErrorResponse that refused us."""
        parameters.setdefault("user", "tester")
        parameters.setdefault("database", "postgres")
        self.send(startup(version, **parameters))
        return self.authenticate(parameters["user"], secret)

    def authenticate(self, user, secret):
        messages = []
        scram = None
        while True:
            kind, body = self.read()
            messages.append((kind, body))
            if kind == "R":
                method = struct.unpack("!I", body[:4])[0]
                if method == 3:
                    self.send(frame("p", text(secret or "")))
                elif method == 5:
                    self.send(frame("p", text(md5_answer(user, secret or "", body[4:8]))))
                elif method == 10:
                    scram = Scram(secret or "")
                    self.send(scram.first())
                elif method == 11:
                    self.send(scram.final(body[4:]))
            elif kind == "S":
                name, value = body.rstrip(b"\0").split(b"\0", 1) if body.count(b"\0") > 2 else (
                    body.split(b"\0")[0], body.split(b"\0")[1])
                self.parameters[name.decode()] = value.decode()
            elif kind == "K":
                self.key = body
            elif kind in "ZE":
                return messages


def connect(peer, patience=15.0, **login):
    """A Wire that is logged in at `peer`, which has a host and a port."""
    wire = Wire(peer.host, peer.port, patience)
    messages = wire.login(**login)
    if messages[-1][0] != "Z":
        wire.close()
        raise AssertionError(f"login refused: {fields(messages[-1][1])}")
    return wire


def cancel(peer, key):
    """Sends a cancel request and waits until the peer has taken it."""
    with Wire(peer.host, peer.port) as wire:
        wire.send(cancel_request(key))
        wire.is_closed()


def backend_ended(cluster, pid, patience=5.0):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if not cluster.ask("select 1 from pg_stat_activity where pid = %s", pid):
            return True
        time.sleep(0.02)
    return False


def md5_answer(user, secret, salt):
    if secret.startswith("md5") and len(secret) == 35:
        inner = secret[3:]
    else:
        inner = hashlib.md5((secret + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 7677), without channel binding."""

    def __init__(self, secret):
        self._secret = secret.encode()
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._bare = f"n=,r={self._nonce}"

    def first(self):
        message = ("n,," + self._bare).encode()
        return frame("p", text("SCRAM-SHA-256") + struct.pack("!I", len(message)) + message)

    def final(self, challenge):
        server = challenge.decode()
        parts = dict(part.split("=", 1) for part in server.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._secret, base64.b64decode(parts["s"]),
                                     int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={parts['r']}"
        signed = f"{self._bare},{server},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        return frame("p", f"{without_proof},p={proof}".encode())
