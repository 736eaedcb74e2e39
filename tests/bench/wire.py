"""A PostgreSQL client of a few lines: a trust login, and simple queries with a small result.

It exists to hold thousands of idle connections without a library's memory and time.
"""

import socket
import struct

TIMEOUT = 30


class Connection:
    def __init__(self, port, user, database):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"\0\3\0\0" + b"\0".join(
            [b"user", user.encode(), b"database", database.encode(), b"", b""]
        )
        try:
            self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
            self.read_until_ready()
        except OSError:
            self.close()
            raise

    def query(self, text):
        """The first column of each row, as text."""
        body = text.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        rows = []
        for kind, body in self.read_until_ready():
            if kind == b"D":
                (size,) = struct.unpack_from("!i", body, 2)
                rows.append(body[6 : 6 + max(size, 0)].decode())
        return rows

    def read_until_ready(self):
        received, messages = b"", []
        while True:
            data = self.socket.recv(65536)
            if not data:
                raise OSError("the server closed the connection")
            received += data
            while len(received) >= 5:
                (length,) = struct.unpack_from("!i", received, 1)
                if len(received) < length + 1:
                    break
                kind, body = received[:1], received[5 : length + 1]
                received = received[length + 1 :]
                if kind == b"E":
                    raise OSError(body.replace(b"\0", b" ").decode(errors="replace"))
                if kind == b"Z":
                    return messages
                messages.append((kind, body))

    def close(self):
        self.socket.close()
