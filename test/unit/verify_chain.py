#!/usr/bin/env python3
"""Verifies an exported dadbs chain, written from docs/chain-format.md alone.

    verify_chain.py EXPORT.json [--chain-id HEX] [--after HEIGHT:HASH] [--list] [--damage [STEP]]

EXPORT.json is {"genesis": hex, "blocks": [{"body": hex, "certificate": hex, "batches": [hex, ...]}, ...]}.
--chain-id   the chain that you trust; without it the verifier only says which chain it has verified
--after      the trusted block before the first one exported; without it the export must begin with block 1
--list       prints blocks, transactions and changes
--slow       checks signatures with the code below, also where python3-cryptography is installed
--damage     instead: changes every STEP-th byte of the export, one at a time, and fails if one goes unnoticed
Exit status 0: sound. 1: not sound, and why. Needs Python 3.8; python3-cryptography makes it faster.
"""
import argparse
import hashlib
import json
import sys

# ---- hashes and signatures -------------------------------------------------------------------------------------------

MERKLE_NODE, MERKLE_EMPTY, CHANGE_LEAF, WRITE_SET_HEADER, TRANSACTION_LEAF, ITEM_LEAF = 1, 2, 3, 4, 5, 6
BLOCK_HEADER, GENESIS = 8, 9
SIGN_BATCH, SIGN_INCARNATION, SIGN_COMMIT = 0x41, 0x42, 0x45


class Unsound(Exception):
    pass


def require(condition, why):
    if not condition:
        raise Unsound(why)


def hash_of(domain, *parts):
    return hashlib.sha256(bytes([domain]) + b"".join(parts)).digest()


def merkle_root(leaves):
    if not leaves:
        return hash_of(MERKLE_EMPTY)
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hash_of(MERKLE_NODE, merkle_root(leaves[:split]), merkle_root(leaves[split:]))


# Ed25519 of RFC 8032, section 5.1, cofactorless: the encoding of S*B - k*A must be the bytes of R.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def compress(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify_in_python(key, message, signature):
    a = decompress(key)
    s = int.from_bytes(signature[32:], "little")
    if a is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return compress(add(multiply(s, BASE), multiply(k, minus_a))) == signature[:32]


try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    def verify_signature(key, message, signature):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
        except (InvalidSignature, ValueError):
            return False
except ImportError:
    verify_signature = verify_in_python

# ---- the encoding ----------------------------------------------------------------------------------------------------


class Reader:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def raw(self, size):
        require(size <= len(self.data) - self.at, self.what + ": cut off")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.raw(size), "big")

    def u8(self):
        return self.number(1)

    def u16(self):
        return self.number(2)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def i64(self):
        return int.from_bytes(self.raw(8), "big", signed=True)

    def blob(self):
        return self.raw(self.u32())

    def text(self, size_max=255):
        data = self.blob()
        require(len(data) <= size_max and b"\0" not in data, self.what + ": malformed text")
        return data.decode("utf-8", "replace")

    def name(self):
        name = self.text()
        require(name, self.what + ": empty name")
        return name

    def end(self):
        require(self.at == len(self.data), self.what + ": bytes after the end")


class Genesis:
    def __init__(self, data):
        r = Reader(data, "genesis")
        self.chain_id = hash_of(GENESIS, data)
        require(r.u16() == 1, "genesis: unknown format")
        r.raw(16)
        self.created_at = r.i64()
        self.cluster = r.text()
        self.members = {}
        keys = set()
        for number in range(1, r.u16() + 1):
            require(r.u16() == number, "genesis: members are not numbered in order")
            name, address, key = r.name(), r.text(), r.raw(32)
            require(name not in [m[0] for m in self.members.values()] and key not in keys, "genesis: a member twice")
            keys.add(key)
            self.members[number] = (name, address, key)
        require(1 <= len(self.members) <= 64, "genesis: number of members")
        self.schemas = [r.text() for _ in range(r.u16())]
        require(r.u32() > 0, "genesis: sequence stride 0")
        self.environment = [(r.text(), r.text()) for _ in range(r.u16())]
        n = len(self.members)
        if r.at != len(data):
            require(1 <= r.u16() <= n, "genesis: number of approvals")
        r.end()
        self.quorum = (n + (n - 1) // 3) // 2 + 1

    def context(self, domain, epoch):
        return bytes([domain]) + self.chain_id + epoch.to_bytes(8, "big")

    def check_signature(self, member, message, signature, what):
        require(member in self.members, "%s: %d is no member" % (what, member))
        require(verify_signature(self.members[member][2], message, signature), "%s: wrong signature" % what)


# ---- transactions ----------------------------------------------------------------------------------------------------


class WriteSet:
    """The frame: what hashing needs. The changes are read by changes()."""

    def __init__(self, data, what):
        r = Reader(data, what)
        require(len(data) <= 512 << 20, what + ": too large")
        lead = r.raw(2)
        require(lead[0] == 1 and lead[1] in (1, 2, 3, 4, 5), what + ": unknown format or kind")
        self.is_lone_ddl, self.is_calls = lead[1] == 2, lead[1] == 3
        self.is_vote, self.is_evidence = lead[1] == 4, lead[1] == 5
        header = r.blob()
        count = r.u32()
        require(count > 0 and (count == 1 or not (self.is_lone_ddl or self.is_vote or self.is_evidence)), what + ": number of changes")
        self.salted = []
        for _ in range(count):
            salt = r.raw(16)
            self.salted.append((salt, r.blob()))
        r.end()
        self.hash = merkle_root([hash_of(WRITE_SET_HEADER, lead, header)] +
                                [hash_of(CHANGE_LEAF, salt, change) for salt, change in self.salted])
        h = Reader(header, what + ": header")
        self.base, self.schema_base, self.origin_xid, self.begun_at = h.u64(), h.u64(), h.u64(), h.i64()
        self.user, self.application, self.flags = h.text(), h.text(), h.u32()
        h.end()
        require(self.schema_base <= self.base and self.flags < 8, what + ": header")

    def changes(self):
        changes = [read_change(change) for _, change in self.salted]
        ops = {change[0] for change in changes}
        flags = (1 if ops & {"Q", "S", "K", "P"} else 0) | (2 if "T" in ops else 0)
        require(self.flags & 3 == flags, "flags that do not agree with the changes")
        require(not self.is_lone_ddl or ops == {"Q"}, "a lone statement that is none")
        require(ops == {"C"} if self.is_calls else "C" not in ops, "calls among other changes")
        require(ops == {"V"} if self.is_vote else "V" not in ops, "a vote among other changes")
        require(ops == {"E"} if self.is_evidence else "E" not in ops, "evidence among other changes")
        return changes


def read_tuple(r, is_key, may_be_unchanged):
    values = []
    count = r.u16()
    require(count <= 1664, "too many columns")
    for _ in range(count):
        tag = r.raw(1)
        if tag == b"n":
            values.append(None)
        elif tag == b"u" and may_be_unchanged:
            values.append(Ellipsis)
        elif tag == b"b":
            values.append(r.blob())
        elif tag == b"t":
            values.append(r.text(1 << 32))
        else:
            raise Unsound("unknown kind of value")
    require(not is_key or any(v is not None for v in values), "a key without a value")
    return values


def read_change(data):
    r = Reader(data, "change")
    op = chr(r.u8())
    if op in "IUD":
        change = [op, r.name() + "." + r.name()]
        old_key = None
        if op == "U":
            has_old_key = r.u8()
            require(has_old_key <= 1, "change: not a truth value")
        if op == "D" or (op == "U" and has_old_key):
            old_key = read_tuple(r, True, False)
            change.append(("key", old_key))
        if op != "D":
            row = read_tuple(r, False, op == "U")
            require(old_key is None or len(old_key) == len(row), "key and row differ in columns")
            change.append(("row", row))
    elif op == "T":
        flags, count = r.u8(), r.u16()
        require(flags <= 3 and count > 0, "malformed TRUNCATE")
        change = [op, flags, [r.name() + "." + r.name() for _ in range(count)]]
    elif op == "Q":
        change = [op, r.text(1 << 32), r.text(), r.text(1 << 16)]
        require(change[1], "an empty statement")
        change.append([(r.name(), r.text(1 << 16)) for _ in range(r.u16())])
        change.append([r.name() for _ in range(r.u16())])
    elif op == "S":
        change = [op, r.name() + "." + r.name(), r.i64()]
    elif op == "K":
        change = [op, chr(r.u8()), r.name(), *(r.text(1 << 32) for _ in range(5)), r.text(), r.text(1 << 16)]
        require(change[1] == "D" or (change[1] == "X" and not any(change[3:8] + change[9:])), "malformed contract")
    elif op == "P":
        change = [op, chr(r.u8()), r.u64(), r.text(1 << 32), r.text(1 << 16), r.text(), r.text(1 << 16), r.u64()]
        require(change[1] in "PAR" and change[2] > 0, "malformed proposal")
    elif op == "C":
        change = [op, r.name(), r.text()]
        count = r.u16()
        require(count <= 99, "too many arguments")
        for _ in range(count):
            kind, tag = r.text(1 << 16), r.raw(1)
            require(kind and tag in (b"n", b"t"), "malformed argument")
            change.append((kind, r.text(1 << 32) if tag == b"t" else None))
        is_signed = r.u8()
        require(is_signed <= 1, "change: not a truth value")
        if is_signed:
            key, nonce = r.raw(32), r.text(64)
            require(nonce, "a signed call without a nonce")
            change.append((key, nonce, r.raw(64)))
    elif op == "V":
        change = [op, r.u64(), r.u32(), r.u8()]
        require(change[3] <= 1, "change: not a truth value")
    elif op == "E":
        change = [op, r.blob()]
    else:
        raise Unsound("unknown change")
    r.end()
    return change


# ---- blocks ----------------------------------------------------------------------------------------------------------


class Item:
    def __init__(self, r):
        start = r.at
        kind = r.u8()
        self.is_batch = kind == 1
        fields_at = r.at
        self.origin, self.incarnation = r.u16(), r.u64()
        r.u64()  # journal sequence
        if kind == 1:
            self.first_number, self.count, self.body_bytes, self.root = r.u64(), r.u32(), r.u64(), r.raw(32)
        elif kind == 2:
            r.raw(16)  # nonce
            self.recent_height, self.recent_hash = r.u64(), r.raw(32)
        else:
            raise Unsound("unknown kind of item")
        self.fields = r.data[fields_at:r.at]
        self.signature = r.raw(64)
        self.leaf = hash_of(ITEM_LEAF, r.data[start:r.at])


class Block:
    def __init__(self, data):
        r = Reader(data, "block")
        header = r.blob()
        self.hash = hash_of(BLOCK_HEADER, header)
        h = Reader(header, "block header")
        require(h.u16() == 1, "unknown block format")
        self.chain_id, self.epoch, self.height, self.previous = h.raw(32), h.u64(), h.u64(), h.raw(32)
        self.time, self.proposer, self.item_count, self.transaction_count = h.i64(), h.u16(), h.u32(), h.u32()
        self.body_bytes, self.items_root, self.transactions_root = h.u64(), h.raw(32), h.raw(32)
        h.end()
        count = r.u32()
        require(count == self.item_count and 1 <= count <= 4096, "number of items")
        self.items = [Item(r) for _ in range(count)]
        r.end()


def read_batch(data, item, what):
    r = Reader(data, what)
    count = r.u32()
    require(count == item.count and count > 0, what + ": number of transactions")
    bodies = [r.blob() for _ in range(count)]
    r.end()
    require(sum(map(len, bodies)) == item.body_bytes <= 600 << 20, what + ": number of bytes")
    sets = [WriteSet(body, "%s transaction %d" % (what, item.first_number + i)) for i, body in enumerate(bodies)]
    require(merkle_root([hash_of(TRANSACTION_LEAF, ws.hash) for ws in sets]) == item.root, what + ": Merkle root")
    return sets


def check_certificate(data, block, genesis):
    r = Reader(data, "certificate")
    require(r.u8() == 3, "certificate: not of COMMIT votes")
    epoch, view, height, block_hash = r.u64(), r.raw(8), r.u64(), r.raw(32)
    require((epoch, height, block_hash) == (block.epoch, block.height, block.hash), "certificate: of another block")
    count, last = r.u16(), 0
    require(count >= genesis.quorum, "certificate: %d votes, a quorum has %d" % (count, genesis.quorum))
    for _ in range(count):
        signer_at = r.at
        signer = r.u16()
        r.raw(16)  # incarnation, journal sequence
        signer_fields = r.data[signer_at:r.at]
        require(signer > last, "certificate: signers are not distinct and ascending")
        last = signer
        message = (genesis.context(SIGN_COMMIT, epoch) + signer_fields + view + height.to_bytes(8, "big") + block_hash)
        genesis.check_signature(signer, message, r.raw(64), "certificate: vote of member %d" % signer)
    r.end()


class Chain:
    """What the blocks so far say of the next one."""

    def __init__(self, genesis, after=None):
        self.genesis = genesis
        self.height, self.hash, self.time = 0, genesis.chain_id, genesis.created_at
        self.origins = {number: (0, 0) for number in genesis.members}  # incarnation, last number
        if after:
            self.height, self.hash, self.time = after[0], after[1], None
            self.origins = {}
        self.hashes = {self.height: self.hash}

    def check_origins(self, block):
        begun = set()
        for item in block.items:
            what = "item of origin %d" % item.origin
            require(item.origin not in begun, what + ": after its incarnation entry")
            incarnation, number = self.origins.get(item.origin, (None, None))
            if item.is_batch:
                require(item.incarnation > 0 and item.first_number > 0, what + ": numbers begin with 1")
                if incarnation is not None:
                    require(item.incarnation == incarnation, what + ": incarnation is not open")
                    require(item.first_number == number + 1, what + ": numbers are not contiguous")
                self.origins[item.origin] = (item.incarnation, item.first_number + item.count - 1)
                continue
            require(item.incarnation > (incarnation or 0), what + ": incarnation does not ascend")
            require(item.recent_height < block.height <= item.recent_height + 64, what + ": incarnation entry expired")
            known = self.hashes.get(item.recent_height)
            require(known in (None, item.recent_hash), what + ": names a block of another chain")
            self.origins[item.origin] = (item.incarnation, 0)
            begun.add(item.origin)

    def append(self, body, certificate, batches):
        genesis, block = self.genesis, Block(body)
        require(block.chain_id == genesis.chain_id, "of another chain")
        require(block.epoch == 1, "unknown epoch")
        require(block.height == self.height + 1, "height is %d, not the next" % block.height)
        require(block.previous == self.hash, "does not link to the block before")
        require(self.time is None or block.time > self.time, "time is not after the block before")
        require(block.proposer in genesis.members, "proposer is no member")
        transactions = []
        batch_items = [item for item in block.items if item.is_batch]
        require(len(batch_items) == len(batches), "number of batches")
        for item in block.items:
            domain = SIGN_BATCH if item.is_batch else SIGN_INCARNATION
            message = genesis.context(domain, block.epoch) + item.fields
            genesis.check_signature(item.origin, message, item.signature, "item")
        for number, (item, batch) in enumerate(zip(batch_items, batches)):
            transactions += [(item, ws) for ws in read_batch(batch, item, "batch %d" % number)]
        require(merkle_root([item.leaf for item in block.items]) == block.items_root, "items: Merkle root")
        require(len(transactions) == block.transaction_count <= (1 << 20) - 2, "number of transactions")
        require(sum(i.body_bytes for i in batch_items) == block.body_bytes <= 600 << 20, "number of bytes")
        leaves = [hash_of(TRANSACTION_LEAF, ws.hash) for _, ws in transactions]
        require(merkle_root(leaves) == block.transactions_root, "transactions: Merkle root")
        check_certificate(certificate, block, genesis)
        self.check_origins(block)
        self.height, self.hash, self.time = block.height, block.hash, block.time
        self.hashes[block.height] = block.hash
        return block, transactions


# ---- command line ----------------------------------------------------------------------------------------------------


def print_block(block, transactions):
    print("block %d  %s  %d transactions" % (block.height, block.hash.hex(), len(transactions)))
    last = None
    for item, ws in transactions:
        number = number + 1 if item is last else item.first_number
        last = item
        print("  %d.%d.%d by %s (%s)" % (item.origin, item.incarnation, number, ws.user, ws.application))
        try:
            for change in ws.changes():
                print("    %s" % " ".join(map(str, change)))
        except Unsound as e:  # ordered, and invalid on every member
            print("    malformed: %s" % e)


def verify(export, chain_id=None, after=None, show=False):
    genesis = Genesis(export["genesis"])
    require(chain_id in (None, genesis.chain_id), "the genesis is that of another chain")
    chain = Chain(genesis, after)
    for block in export["blocks"]:
        try:
            checked = chain.append(block["body"], block["certificate"], block["batches"])
        except Unsound as e:
            raise Unsound("block %d: %s" % (chain.height + 1, e)) from None
        if show:
            print_block(*checked)
    return chain


def load(path):
    with open(path, encoding="ascii") as file:
        export = json.load(file)
    return {
        "genesis": bytes.fromhex(export["genesis"]),
        "blocks": [{
            "body": bytes.fromhex(b["body"]),
            "certificate": bytes.fromhex(b["certificate"]),
            "batches": [bytes.fromhex(batch) for batch in b["batches"]],
        } for b in export["blocks"]],
    }


def damages(export, step):
    """(where, the export with one byte changed, cut off or added)"""
    def of(data, put, where):
        for at in range(0, len(data), step):
            put(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1:])
            yield "%s byte %d" % (where, at)
        put(data[:-1])
        yield where + " cut off"
        put(data + b"\0")
        yield where + " extended"
        put(data)

    def put_genesis(data):
        export["genesis"] = data

    yield from of(export["genesis"], put_genesis, "genesis")
    for number, block in enumerate(export["blocks"], 1):
        for field in ("body", "certificate"):
            yield from of(block[field], lambda data: block.__setitem__(field, data), "block %d %s" % (number, field))
        batches = block["batches"]
        for i, batch in enumerate(batches):
            yield from of(batch, lambda data: batches.__setitem__(i, data), "block %d batch %d" % (number, i))


def check_damages(export, step):
    trusted = Genesis(export["genesis"]).chain_id
    verify(export, trusted)
    tried, missed = 0, []
    for where in damages(export, step):
        tried += 1
        try:
            verify(export, trusted)
            missed.append(where)
        except Unsound:
            pass
    for where in missed:
        print("not noticed: " + where)
    print("%d kinds of damage tried, %d not noticed" % (tried, len(missed)))
    return not missed


def main():
    parser = argparse.ArgumentParser(description="verifies an exported dadbs chain")
    parser.add_argument("export")
    parser.add_argument("--chain-id", type=bytes.fromhex)
    parser.add_argument("--after", help="HEIGHT:HASH of the trusted block before the export")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--damage", type=int, nargs="?", const=1)
    arguments = parser.parse_args()
    if arguments.slow:
        global verify_signature
        verify_signature = verify_in_python
    after = None
    if arguments.after:
        height, block_hash = arguments.after.split(":")
        after = (int(height), bytes.fromhex(block_hash))
    export = load(arguments.export)
    try:
        if arguments.damage:
            sys.exit(0 if check_damages(export, arguments.damage) else 1)
        chain = verify(export, arguments.chain_id, after, arguments.list)
    except Unsound as e:
        sys.exit("not sound: %s" % e)
    print("sound: chain %s up to block %d, %s" % (chain.genesis.chain_id.hex(), chain.height, chain.hash.hex()))


if __name__ == "__main__":
    main()
