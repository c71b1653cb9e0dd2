"""Checks evidence with the members' public keys and the chain's id alone, as docs/chain-format.md (sections 3 and 9b) describes it.

Shares nothing with the extension. Of invalid blocks it checks that the accused one has signed a vote for just this block and that
the sums of its header are not those of its items: other ways to be invalid are verify_chain.py's.
"""
import hashlib
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

VOTES, BATCHES, INVALID_BLOCK = 1, 2, 3


class NoProof(Exception):
    """What is wrong with the evidence."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, size):
        if self.at + size > len(self.data):
            raise NoProof("it ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def numbers(self, form):
        return struct.unpack(">" + form, self.raw(struct.calcsize(">" + form)))

    def blob(self):
        return self.raw(*self.numbers("I"))


def hashed(domain, *parts):
    return hashlib.sha256(bytes([domain]) + b"".join(parts)).digest()


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashed(2)
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashed(1, root(leaves[:half]), root(leaves[half:]))


class Outsider:
    def __init__(self, chain_id, keys):
        self.chain_id, self.keys = chain_id, keys  # by member's id

    def signed(self, signer, message, signature):
        if signer not in self.keys:
            raise NoProof("nobody is accused")
        try:
            Ed25519PublicKey.from_public_bytes(self.keys[signer]).verify(signature, message)
        except InvalidSignature:
            raise NoProof("a signature is wrong") from None

    def vote(self, r):
        """Returns its slot and the hash of its block."""
        phase, epoch, view, height = r.numbers("BQQQ")
        block = r.raw(32)
        signer, incarnation, sequence = r.numbers("HQQ")
        fields = struct.pack(">HQQQQ", signer, incarnation, sequence, view, height) + block
        domain = {2: b"\x44", 3: b"\x45"}.get(phase)
        if domain is None or epoch != 1:
            raise NoProof("a vote of no phase")
        self.signed(signer, domain + self.chain_id + struct.pack(">Q", epoch) + fields, r.raw(64))
        return (signer, incarnation, phase, view, height), block

    def batch(self, r):
        if r.raw(1) != b"\x01":
            raise NoProof("not a batch")
        fields = r.raw(2 + 8 + 8 + 8 + 4 + 8 + 32)
        origin, incarnation, _, first, count = struct.unpack(">HQQQI", fields[:30])
        self.signed(origin, b"\x41" + self.chain_id + struct.pack(">Q", 1) + fields, r.raw(64))
        return origin, incarnation, first, count, fields

    def check(self, evidence):
        """Returns who is guilty, and of what; NoProof where nobody is."""
        r = Reader(evidence)
        form, kind = r.numbers("BB")
        if form != 1 or r.raw(32) != self.chain_id:
            raise NoProof("another format, or another chain")
        if kind == VOTES:
            (one, hash_one), (other, hash_other) = self.vote(r), self.vote(r)
            if one != other or hash_one >= hash_other:
                raise NoProof("the votes do not contradict each other")
            culprit, what = one[0], "votes"
        elif kind == BATCHES:
            one, other = self.batch(r), self.batch(r)
            shared = max(one[2], other[2]) < min(one[2] + one[3], other[2] + other[3])
            if one[:2] != other[:2] or not shared or one[4] == other[4]:
                raise NoProof("the batches do not contradict each other")
            culprit, what = one[0], "batches"
        elif kind == INVALID_BLOCK:
            culprit, what = self.block(r), "invalid block"
        else:
            raise NoProof("unknown kind")
        if r.at != len(evidence):
            raise NoProof("bytes are left over")
        return culprit, what

    def block(self, r):
        slot, block_hash = self.vote(r)
        b = Reader(r.blob())
        header = b.blob()
        if hashed(8, header) != block_hash:
            raise NoProof("the vote is for another block")
        items, transactions, size = [], 0, 0
        for _ in range(*b.numbers("I")):
            begin, kind = b.at, b.raw(1)
            fields = b.raw(70 if kind == b"\x01" else 74)
            b.raw(64)
            items.append(hashed(6, b.data[begin:b.at]))
            if kind == b"\x01":
                transactions, size = transactions + struct.unpack(">I", fields[26:30])[0], size + struct.unpack(">Q", fields[30:38])[0]
        if root(items) != header[108:140]:
            raise NoProof("the items are not those of the block")
        if r.raw(1) != b"\x00":
            raise NoProof("not looked at: the parent")
        if struct.unpack(">IIQ", header[92:108]) == (len(items), transactions, size):
            raise NoProof("the sums are right")
        return slot[0]
