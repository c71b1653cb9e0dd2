"""Members that contradict themselves are convicted by their own signatures, on the chain, for ever; nobody else ever is.

Member 4 is down; evil_origin.py and this file sign with its key. What the honest members find is checked by outsider.py, which has the public keys only.
"""
import contextlib
import os
import struct

import outsider
from abuse_test import begin, evil_row, opened, primary_of
from evil_origin import SEQUENCE, hashed, root, sized, text
from evil_peer import blob, number
from harness import Suite, check, equal, eventually

HONEST, EVIL, INCARNATION = (1, 2, 3), 4, 1 << 40
suite = Suite("evidence", port=13200, begin=begin)
COLUMNS = "node, name, kind, incarnation, phase, view, voted_height, number, height, index, reported_by, evidence"


def ask(c, i, query, *arguments):
    with contextlib.closing(c.connect(i)) as session, session.cursor() as cursor:
        cursor.execute(query, arguments)
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()]


def rows(c, i):
    return ask(c, i, f"SELECT {COLUMNS} FROM dadbs.evidence ORDER BY height, index")


def of_kind(c, i, kind):
    return [row for row in rows(c, i) if row[2] == kind]


def somebody_outside(c):
    keys = c.run(1, "SELECT m.id, m.key FROM dadbs_internal.members() m")
    return outsider.Outsider(bytes(c.value(1, "SELECT chain_id FROM dadbs.status")), {i: bytes(key) for i, key in keys})


def convicted(c, kind):
    """All honest members have the same of it, and whoever is outside comes to the same."""
    eventually(lambda: all(of_kind(c, i, kind) for i in HONEST), 60, f"evidence of kind {kind} on all members")
    c.settle()
    found = rows(c, 1)
    for i in HONEST:
        equal(rows(c, i), found, f"evidence on member {i}")
    for row in found:
        equal(row[:2], (EVIL, f"m{EVIL}"), "who is guilty")
        equal(somebody_outside(c).check(row[-1]), (EVIL, row[2]), "what an outsider says")
        equal(ask(c, 2, "SELECT problem, node, kind FROM dadbs.verify_evidence(%s)", row[-1])[0], (None, EVIL, row[2]), "what member 2 says")
    return of_kind(c, 1, kind)


def signed_vote(origin, phase, view, height, block, sequence, signer=EVIL):
    """As it is signed, and in its canonical form."""
    fields = struct.pack(">HQQQQ", signer, origin.incarnation, sequence, view, height) + block
    signature = origin.sign({2: 0x44, 3: 0x45}[phase], fields)
    canonical = struct.pack(">BQQQ", phase, 1, view, height) + block + struct.pack(">HQQ", signer, origin.incarnation, sequence) + signature
    envelope = number(1, signer) + number(2, origin.incarnation) + number(3, sequence) + blob(4, signature)
    message = blob(15, number(1, phase) + number(2, 1) + number(3, view) + number(4, height) + blob(5, block) + blob(6, envelope))
    return message, canonical


def accusation(base, *evidence):
    header = struct.pack(">QQQq", base, base, 0, 0) + text("postgres") + text("evil") + struct.pack(">I", 0)
    changes = [b"E" + sized(e) for e in evidence]
    salts = [os.urandom(16) for _ in changes]
    body = bytes([1, 5]) + sized(header) + struct.pack(">I", len(changes)) + b"".join(s + sized(c) for s, c in zip(salts, changes))
    return body, root([hashed(4, bytes([1, 5]), header)] + [hashed(3, s, c) for s, c in zip(salts, changes)])


@suite.test
def two_batches_under_one_number(c):
    """Each goes to a part of the members; whoever holds the one sees the other on the chain."""
    c.run(1, "CREATE TABLE evil (id int PRIMARY KEY, by int)")
    c.settle()
    with opened(c, INCARNATION) as origin:
        primary = primary_of(c)
        origin.send(origin.batch(1, evil_row(c, 1)), [primary])
        origin.send(origin.batch(1, evil_row(c, 2)), [i for i in HONEST if i != primary])
        found = convicted(c, "batches")
    equal([row[3:8] for row in found], [(INCARNATION, None, None, None, 1)], "its slot")
    equal(ask(c, 1, "SELECT verdict FROM dadbs_internal.transaction WHERE height = %s AND index = %s", *found[0][8:10]), [(1,)], "its verdict")
    equal(ask(c, 1, "SELECT operation, statement FROM dadbs.changes WHERE height = %s AND position = %s", *found[0][8:10]), [("EVIDENCE", "evidence against m4: batches")], "its change")
    check(found[0][10] in HONEST, "reported by an honest member")


@suite.test
def two_votes_in_one_slot(c):
    with opened(c, INCARNATION + 1) as origin:
        height, view = c.run(1, "SELECT dadbs.applied_height(), view FROM dadbs.status")[0]
        for k in range(2):
            origin.send(signed_vote(origin, 2, view, height + 1, bytes([k + 1] * 32), SEQUENCE + 50 + k)[0], HONEST)
        found = convicted(c, "votes")
    equal([row[3:8] for row in found], [(INCARNATION + 1, "prepare", view, height + 1, None)], "its slot")


@suite.test
def false_accusations(c):
    """Whatever it puts onto the chain, nobody else is convicted, and what it is guilty of is kept once."""
    before = rows(c, 1)
    chain_id = bytes(c.value(1, "SELECT chain_id FROM dadbs.status"))
    genuine = before[0][-1]
    with opened(c, INCARNATION + 2) as origin:
        def pair(a, b):
            return bytes([1, outsider.VOTES]) + chain_id + a + b

        def vote(phase, view, height, byte, sequence, signer=EVIL):
            return signed_vote(origin, phase, view, height, bytes([byte] * 32), sequence, signer)[1]
        accusations = {
            "another's name under its own signatures": pair(vote(2, 0, 9, 1, 1, signer=1), vote(2, 0, 9, 2, 2, signer=1)),
            "two heights": pair(vote(2, 0, 9, 1, 1), vote(2, 0, 8, 2, 2)),
            "two views": pair(vote(2, 0, 9, 1, 1), vote(2, 1, 9, 2, 2)),
            "two phases": pair(vote(2, 0, 9, 1, 1), vote(3, 0, 9, 2, 2)),
            "one vote twice": pair(vote(2, 0, 9, 1, 1), vote(2, 0, 9, 1, 1)),
            "the higher hash first": pair(vote(2, 0, 9, 2, 1), vote(2, 0, 9, 1, 2)),
            "a byte of the evidence turned": genuine[:100] + bytes([genuine[100] ^ 1]) + genuine[101:],
            "cut off": genuine[:-1],
            "longer": genuine + b"\0",
            "nothing": b"",
        }
        for what, bytes_ in accusations.items():
            with contextlib.suppress(outsider.NoProof):
                check(False, f"an outsider is convinced by: {what}: {somebody_outside(c).check(bytes_)}")
            check(ask(c, 1, "SELECT problem IS NOT NULL FROM dadbs.verify_evidence(%s)", bytes_) == [(True,)], f"a member is convinced by: {what}")
        base = (c.value(1, "SELECT dadbs.applied_height()") << 20) + (1 << 20) - 1
        sent = [*accusations.values(), genuine]
        origin.send(origin.batch(1, *(accusation(base, e) for e in sent)), HONEST)
        mine = f"FROM dadbs_internal.transaction WHERE origin = {EVIL} AND incarnation = {INCARNATION + 2}"
        eventually(lambda: all(c.value(i, f"SELECT count(*) {mine}") == len(sent) for i in HONEST), 60, "verdicts on all members")
        for i in HONEST:
            equal([v for v, in c.run(i, f"SELECT verdict {mine} ORDER BY number")], [4] * len(accusations) + [3], f"verdicts on member {i}")
            equal(rows(c, i), before, f"evidence on member {i}")


@suite.test
def its_owner_comes_back(c):
    """And finds on the chain what was signed with its key."""
    c.start_member(EVIL)
    c.n = 4
    eventually(lambda: c.value(EVIL, "SELECT can_write FROM dadbs.status"), 120, "member 4 has rejoined")
    c.settle()
    equal(rows(c, EVIL), rows(c, 1), "evidence on member 4")
    c.check_equal()


if __name__ == "__main__":
    suite.main()
