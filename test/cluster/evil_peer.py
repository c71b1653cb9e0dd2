"""A member that keeps to the handshake and to nothing else: speaks the wire protocol (docs/wire-format.md) with a member's key.

Nothing of dadbs is used: TLS by Python's ssl, frames and protobuf by hand. What it sends need not be well formed.
"""
import contextlib
import datetime
import os
import select
import socket
import ssl
import struct

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, value):
    return varint(field << 3) + varint(value)


def blob(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def frame(envelope):
    return struct.pack(">I", len(envelope)) + envelope


def fields(data):
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = read()
        if key & 7 == 0:
            yield key >> 3, read()
        else:
            size = read()
            yield key >> 3, data[at:at + size]
            at += size


def signed(signer, signature):
    return number(1, signer) + number(2, 1 << 32) + number(3, 1) + blob(4, signature)


def vote(signer, phase, height, view=0):
    return blob(15, number(1, phase) + number(2, 1) + number(3, view) + number(4, height) + blob(5, os.urandom(32)) + blob(6, signed(signer, os.urandom(64))))


def state_digest(signer, height):
    return blob(23, struct.pack(">Q", height) + os.urandom(32) + struct.pack(">HQQ", signer, 1, 1) + os.urandom(64))


def status(height):
    return blob(16, number(1, height) + number(2, height) + number(3, 1 << 40) + number(4, 1) + number(5, 1))


def batch_request(count):
    return blob(12, b"".join(blob(1, os.urandom(32)) for _ in range(count)))


def block_request(start, count):
    return blob(17, number(1, start) + number(2, count))


class EvilPeer:
    def __init__(self, seed, node, directory):
        self.node = node
        self.key = key = Ed25519PrivateKey.from_private_bytes(seed)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dadbs")])
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
                       .not_valid_before(datetime.datetime(1970, 1, 1)).not_valid_after(datetime.datetime(9999, 12, 31)).sign(key, None))
        self.pem = os.path.join(directory, "evil.pem")
        with open(self.pem, "wb") as f:
            f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.load_cert_chain(self.pem)

    @contextlib.contextmanager
    def connected(self, port):
        """A link that the member believes to be ready; its own hello is the answer to the member's."""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, self.context.wrap_socket(plain) as link:
            hello = dict_of(read_frame(link))
            kept = b"".join(blob(5, v) for f, v in fields(hello[1]) if f == 5)
            theirs = dict_of(hello[1])
            link.sendall(frame(blob(1, number(1, theirs[1]) + blob(2, theirs[2]) + number(3, self.node) + kept)))
            yield link

    def flood(self, port, envelopes, go_on, listen=True):
        """As fast as the member takes it, while go_on(); returns the bytes sent. Answers are thrown away, or not even read."""
        sent = 0
        with self.connected(port) as link:
            link.settimeout(1)
            while go_on():
                data = b"".join(frame(e) for e in envelopes())
                try:
                    while listen and (link.pending() or select.select([link], [], [], 0)[0]):
                        if not link.recv(1 << 16):
                            return sent
                    link.sendall(data)
                except OSError:
                    return sent  # it has had enough, or takes no more: what is sent of a frame cannot be taken back
                sent += len(data)
        return sent


def dict_of(message):
    return dict(fields(message))


def read_exactly(link, size):
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def read_frame(link):
    return read_exactly(link, struct.unpack(">I", read_exactly(link, 4))[0])
