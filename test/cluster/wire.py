"""A client that speaks the wire protocol (version 3) message by message, for what libpq and psycopg2 cannot do: pipelines,
Flush without Sync, suspended portals, a client that stops reading, a comparison of everything that a server answers.

    wire = Wire(port=c.port)
    wire.parse("INSERT INTO t VALUES ($1)").bind(params=["1"]).execute().flush().send()
    wire.until("C", seconds=5)             # the messages up to CommandComplete
    wire.sync().until("Z")                 # reading sends what is buffered first
    wire.simple("SELECT 1")                # Query and everything up to ReadyForQuery

Methods that build messages only append to a buffer and return the client, so that what is sent together is written in one
line; send() hands the buffer to the kernel. Messages that come back are tuples (letter, content), compared with ==.
"""
import select
import socket
import struct
import time

# Error and notice fields that say where in the server's source, or when: not part of an answer's meaning.
SOURCE_FIELDS = "FLR"


class WireError(Exception):
    """Nothing within the time limit, or the server has closed the connection."""


class Wire:
    def __init__(self, port, host="127.0.0.1", user="postgres", dbname="shared", seconds=60, **parameters):
        self.port, self.host = port, host
        self.socket = socket.create_connection((host, port), timeout=seconds)
        self.socket.setblocking(False)
        self.out = bytearray()
        self.pending = bytearray()
        self.status = None  # of the last ReadyForQuery: I idle, T in a transaction, E in a failed one
        self.pid = self.secret = None
        body = struct.pack("!i", 3 << 16)
        for name, value in {"user": user, "database": dbname, **parameters}.items():
            body += text(name) + text(str(value))
        self.out += struct.pack("!i", len(body) + 5) + body + b"\0"
        self.greeting = self.until("Z", seconds)

    # What a client sends.

    def message(self, letter, body=b""):
        self.out += letter.encode() + struct.pack("!i", len(body) + 4) + body
        return self

    def query(self, sql):
        return self.message("Q", text(sql))

    def parse(self, sql, name="", types=()):
        return self.message("P", text(name) + text(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))

    def bind(self, portal="", statement="", params=(), binary_results=False):
        """Parameters as text; None is NULL."""
        body = text(portal) + text(statement) + struct.pack("!hh", 0, len(params))
        for value in params:
            data = None if value is None else str(value).encode()
            body += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
        return self.message("B", body + struct.pack("!hh", 1, int(binary_results)))

    def describe_statement(self, name=""):
        return self.message("D", b"S" + text(name))

    def describe_portal(self, name=""):
        return self.message("D", b"P" + text(name))

    def execute(self, portal="", rows=0):
        return self.message("E", text(portal) + struct.pack("!i", rows))

    def close_statement(self, name=""):
        return self.message("C", b"S" + text(name))

    def close_portal(self, name=""):
        return self.message("C", b"P" + text(name))

    def flush(self):
        return self.message("H")

    def sync(self):
        return self.message("S")

    def copy_data(self, data):
        return self.message("d", data)

    def copy_done(self):
        return self.message("c")

    def copy_fail(self, reason):
        return self.message("f", text(reason))

    def statement(self, sql, params=()):
        """Parse, Bind, Execute: one step of a pipeline."""
        return self.parse(sql).bind(params=params).execute()

    def send(self, seconds=60):
        """Hands the buffer to the kernel; what the server answers meanwhile is kept, or both sides could wait for each other."""
        deadline = time.monotonic() + seconds
        while self.out:
            readable, writable, _ = select.select([self.socket], [self.socket], [], max(0, deadline - time.monotonic()))
            if not readable and not writable:
                raise WireError(f"the server does not read: {len(self.out)} bytes left")
            if readable:
                self.receive()
            if writable:
                del self.out[:self.socket.send(self.out)]
        return self

    # What the server answers.

    def receive(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError as e:
            raise WireError("connection reset by the server") from e
        if not data:
            raise WireError("connection closed by the server")
        self.pending += data

    def next(self, seconds=60):
        """The next message, decoded."""
        self.send(seconds)
        deadline = time.monotonic() + seconds
        while (message := self.take()) is None:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise WireError(f"no message within {seconds} s")
            self.receive()
        return message

    def take(self):
        if len(self.pending) < 5:
            return None
        letter, size = chr(self.pending[0]), struct.unpack_from("!i", self.pending, 1)[0]
        if len(self.pending) < size + 1:
            return None
        body = bytes(self.pending[5:size + 1])
        del self.pending[:size + 1]
        message = (letter, decode(letter, body))
        if letter == "Z":
            self.status = message[1]
        elif letter == "K":
            self.pid, self.secret = message[1]
        return message

    def until(self, letters, seconds=60):
        """All messages up to and with the first of one of these letters; each message within the time limit."""
        messages = []
        while not messages or messages[-1][0] not in letters:
            messages.append(self.next(seconds))
        return messages

    def simple(self, sql, seconds=60):
        return self.query(sql).until("Z", seconds)

    def silent(self, seconds):
        """True if nothing comes for that long."""
        self.send()
        return not self.pending and not select.select([self.socket], [], [], seconds)[0]

    def cancel(self):
        """A CancelRequest, over a connection of its own."""
        with socket.create_connection((self.host, self.port), timeout=10) as s:
            s.sendall(struct.pack("!iiiI", 16, 80877102, self.pid, self.secret))
            s.recv(1)

    def terminate(self):
        self.message("X").send()
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def text(value):
    return value.encode() + b"\0"


def decode(letter, body):
    """Rows as tuples of bytes or None, errors and notices as dicts by field letter, the rest as its natural value."""
    if letter in "EN":
        fields = (f.decode() for f in body.rstrip(b"\0").split(b"\0"))
        return {f[0]: f[1:] for f in fields if f and f[0] not in SOURCE_FIELDS}
    if letter == "D":
        return values(body)
    if letter == "T":
        return columns(body)
    if letter in "CS":
        parts = tuple(p.decode() for p in body.split(b"\0")[:-1])
        return parts[0] if letter == "C" else parts
    if letter == "Z":
        return body.decode()
    if letter == "K":
        return struct.unpack("!iI", body)
    if letter == "A":
        channel, payload, _ = body[4:].split(b"\0")
        return channel.decode(), payload.decode()  # without the sender's pid
    return body


def values(body):
    out, at = [], 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        out.append(None if size < 0 else body[at:at + size])
        at += max(size, 0)
    return tuple(out)


def columns(body):
    """Name, type, size, modifier and format of each column; not the table's OID, which differs between servers."""
    out, at = [], 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        end = body.index(b"\0", at)
        _, number, kind, size, modifier, form = struct.unpack_from("!IhIhih", body, end + 1)
        out.append((body[at:end].decode(), number, kind, size, modifier, form))
        at = end + 19
    return tuple(out)


# What a test asks of a list of messages.

def letters(messages):
    return "".join(m[0] for m in messages)


def sqlstates(messages):
    return [m[1]["C"] for m in messages if m[0] == "E"]


def tags(messages):
    return [m[1] for m in messages if m[0] == "C"]


def rows(messages):
    return [m[1] for m in messages if m[0] == "D"]
