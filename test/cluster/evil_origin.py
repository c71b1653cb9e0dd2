"""An origin that signs what it likes: incarnations, batches and write sets by hand, as docs/chain-format.md describes them.

Shares nothing with the extension, so that the document is what is tested, too.
"""
import contextlib
import hashlib
import os
import select
import struct
import threading

from evil_peer import blob, frame

SEQUENCE = 1 << 40  # of a journal that there is not


def hashed(domain, *parts):
    return hashlib.sha256(bytes([domain]) + b"".join(parts)).digest()


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashed(1, root(leaves[:half]), root(leaves[half:]))


def sized(data):
    return struct.pack(">I", len(data)) + data


def text(value):
    return sized(value.encode())


def inserted(schema, table, *values):
    return b"I" + text(schema) + text(table) + struct.pack(">H", len(values)) + b"".join(b"t" + text(str(v)) for v in values)


def write_set(base, *changes):
    """Returns its bytes and its hash."""
    header = struct.pack(">QQQq", base, base, 1000, 0) + text("postgres") + text("evil") + struct.pack(">I", 0)
    salts = [os.urandom(16) for _ in changes]
    body = bytes([1, 1]) + sized(header) + struct.pack(">I", len(changes)) + b"".join(s + sized(c) for s, c in zip(salts, changes))
    return body, root([hashed(4, bytes([1, 1]), header)] + [hashed(3, s, c) for s, c in zip(salts, changes)])


class EvilOrigin:
    """One incarnation of the member whose key `peer` has, with links to some of the others."""

    def __init__(self, peer, chain_id, incarnation):
        self.peer, self.chain_id, self.incarnation = peer, chain_id, incarnation
        self.links, self.readers, self.over = {}, [], threading.Event()

    def sign(self, domain, fields):
        return self.peer.key.sign(bytes([domain]) + self.chain_id + struct.pack(">Q", 1) + fields)

    def entry(self, height, block_hash):
        fields = struct.pack(">HQQ", self.peer.node, self.incarnation, SEQUENCE) + os.urandom(16) + struct.pack(">Q", height) + block_hash
        return blob(13, b"\x02" + fields + self.sign(0x42, fields))

    def batch(self, first, *write_sets):
        """Write sets as write_set() returns them."""
        tree = root([hashed(5, identity) for _, identity in write_sets])
        fields = struct.pack(">HQQQIQ", self.peer.node, self.incarnation, SEQUENCE + first, first, len(write_sets), sum(len(b) for b, _ in write_sets)) + tree
        return blob(10, blob(1, b"\x01" + fields + self.sign(0x41, fields)) + b"".join(blob(2, b) for b, _ in write_sets))

    def send(self, envelope, to):
        for member in to:
            self.links[member].sendall(frame(envelope))

    def read(self, link):
        """What comes is thrown away: it answers nothing."""
        with contextlib.suppress(OSError, ValueError):
            while not self.over.is_set():
                if (link.pending() or select.select([link], [], [], 0.2)[0]) and not link.recv(1 << 16):
                    return

    @contextlib.contextmanager
    def linked(self, ports):
        with contextlib.ExitStack() as stack:
            for member, port in ports.items():
                self.links[member] = stack.enter_context(self.peer.connected(port))
                self.readers.append(threading.Thread(target=self.read, args=(self.links[member],), daemon=True))
                self.readers[-1].start()
            try:
                yield self
            finally:
                self.over.set()
                for reader in self.readers:
                    reader.join(10)
