"""A member's key in the hands of somebody who keeps to no rule, and strangers at the peer port: the others go on, in bounded memory.

Member 4 is down; evil_peer.py speaks with its key, so that is the one fault that four members stand.
"""
import contextlib
import os
import socket
import struct
import time

from clients import Background
from evil_origin import EvilOrigin, inserted, write_set
from evil_peer import EvilPeer, batch_request, block_request, blob, state_digest, status, vote
from harness import Suite, Workers, check, equal, eventually, sqlstate, worker_pid

HONEST, EVIL = (1, 2, 3), 4
# At least so long, and until each of the others has committed so often; without anybody's doing that takes a tenth of a second.
SECONDS, COMMITS, SECONDS_MAX = 2, 8, 20
GROWN_MAX_MB = 96
QUEUE_MAX_MB = 256  # of one peer that does not read, docs/wire-format.md


def begin(c):
    c.start()
    c.run(1, "CREATE TABLE t (id bigserial PRIMARY KEY, v text)")
    c.settle()
    c.stop_member(EVIL)
    c.n = len(HONEST)
    for i in HONEST:  # a primary that is down is replaced first
        eventually(lambda: sqlstate(lambda: c.run(i, "INSERT INTO t (v) VALUES ('begin')")) is None, 60, f"member {i} commits")


suite = Suite("abuse", port=9700, begin=begin)


def peer_port(c, member):
    return int(c.value(member, f"SELECT address FROM dadbs.nodes WHERE name = 'm{member}'").rsplit(":", 1)[1])


def evil(c):
    with open(os.path.join(c.dir, f"m{EVIL}", "dadbs", "node.key"), "rb") as f:
        return EvilPeer(f.read(), EVIL, c.base)


def memory_mb(c):
    found = {}
    for i in HONEST:
        with open(f"/proc/{worker_pid(c, i, 'consensus')}/status") as f:
            found[i] = next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) / 1024
    return found


@contextlib.contextmanager
def others_go_on(c, what, grown_max_mb=GROWN_MAX_MB):
    """Clients of the honest members commit all the while, and their workers do not grow."""
    before, committed, workers = memory_mb(c), dict.fromkeys(HONEST, 0), Workers()

    def write(stop, member):
        session = c.connect(member)
        with session.cursor() as cursor:
            cursor.execute("SET dadbs.commit_timeout = '20 s'")
            while not stop.is_set():
                if sqlstate(lambda: cursor.execute("INSERT INTO t (v) VALUES ('x')")) is None:
                    committed[member] += 1
        session.close()
    for i in HONEST:
        workers.start(write, i)
    started = time.monotonic()

    def go_on():
        took = time.monotonic() - started
        return took < SECONDS_MAX and (took < SECONDS or min(committed.values()) < COMMITS)
    yield go_on
    took = time.monotonic() - started
    grown = {i: after - before[i] for i, after in memory_mb(c).items()}
    workers.join(60)
    print(f"# {what}: commits {committed} in {took:.1f} s, consensus workers grew by {', '.join(f'{g:.0f}' for g in grown.values())} MB")
    check(min(committed.values()) >= COMMITS, f"{what}: commits {committed} in {took:.1f} s")
    check(max(grown.values()) <= grown_max_mb, f"{what}: consensus workers grew by {grown} MB")


def flood_all(c, what, envelopes, listen=True, grown_max_mb=GROWN_MAX_MB):
    peer, ports = evil(c), [peer_port(c, i) for i in HONEST]
    with others_go_on(c, what, grown_max_mb) as go_on:
        floods = [Background(peer.flood, port, envelopes, go_on, listen) for port in ports]
        sent = [flood.result(SECONDS_MAX + 30, what) for flood in floods]
    check(min(sent) > 10_000, f"{what}: bytes sent {sent}")


@suite.test
def it_floods(c):
    """Signatures that are wrong, questions, heights that are nobody's: a member spends a bounded part of its time on one peer."""
    height = c.value(1, "SELECT dadbs.applied_height()")
    flood_all(c, "votes of the next heights", lambda: [vote(EVIL, 2 + k % 2, height + 1 + k % 50) for k in range(200)])
    flood_all(c, "votes in the name of others", lambda: [vote(1 + k % 3, 2 + k % 2, height + 1 + k % 50) for k in range(200)])
    flood_all(c, "state digests", lambda: [state_digest(EVIL, height + k) for k in range(200)])
    flood_all(c, "statuses", lambda: [status(1 << 60) for _ in range(200)])
    flood_all(c, "requests for batches", lambda: [batch_request(4096)])
    flood_all(c, "requests for blocks", lambda: [block_request(1 + k, 1024) for k in range(20)])
    check(c.value(1, "SELECT count(*) FROM dadbs.state_digests WHERE node = 'm4' AND NOT equal") == 0, "a forged digest counts for nothing")


@suite.test
def it_does_not_read(c):
    flood_all(c, "requests whose answers are not read", lambda: [block_request(1, 1024) for _ in range(20)], listen=False,
              grown_max_mb=QUEUE_MAX_MB + GROWN_MAX_MB)
    flood_all(c, "pings whose answers are not read", lambda: [blob(3, b"")] * 5000, listen=False)


@suite.test
def it_talks_nonsense(c):
    """Each closes the connection, and is counted; coming back at once does not help."""
    peer, ports = evil(c), {i: peer_port(c, i) for i in HONEST}
    refused = {i: c.value(i, "SELECT refused_peers FROM dadbs.status") for i in HONEST}
    nonsense = [b"\xff" * 40, blob(10, b"\x00" * 100), blob(13, b"no entry"), blob(14, b""), blob(18, b"\x01"), blob(23, b"short"), blob(99, b"unknown")]

    def talk(port, go_on):
        times = 0
        while go_on() or times < len(nonsense):
            with contextlib.suppress(OSError), peer.connected(port) as link:
                data = nonsense[times % len(nonsense)]
                link.sendall(struct.pack(">I", (1 << 32) - 1 if times % 5 == 4 else len(data)) + data)
                link.settimeout(2)
                while link.recv(65536):
                    pass
            times += 1
    with others_go_on(c, "nonsense") as go_on:
        for t in [Background(talk, port, go_on) for port in ports.values()]:
            t.result(SECONDS_MAX + 60)
    for i in HONEST:
        check(c.value(i, "SELECT refused_peers FROM dadbs.status") > refused[i], "refusals are counted")
        check(c.value(i, "SELECT sum(count) FROM dadbs.faults WHERE node = 'm4'") > 0, "as faults of member 4")
    equal(c.run(1, "SELECT * FROM dadbs.evidence"), [], "which prove nothing")


@suite.test
def a_thousand_strangers(c):
    """At least, on each: connections that say nothing, garbage, or begin a handshake and stop; some 300 at a time."""
    ports = [peer_port(c, i) for i in HONEST]

    def come(port, go_on):
        links, k = [], 0
        while k < 1000 or go_on():
            k += 1
            link = socket.socket()
            link.settimeout(0.2)
            with contextlib.suppress(OSError):
                link.connect(("127.0.0.1", port))
                if k % 3:
                    link.sendall(os.urandom(300) if k % 3 == 1 else b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            links.append(link)
            if len(links) > 300:
                links.pop(0).close()
                time.sleep(0.001)
        for link in links:
            link.close()
    with others_go_on(c, "strangers") as go_on:
        for stranger in [Background(come, port, go_on) for port in ports]:
            stranger.result(120, "strangers")
    equal({c.value(i, "SELECT state FROM dadbs.status") for i in HONEST}, {"ready"}, "states")


# ---- an origin that signs what it likes

@contextlib.contextmanager
def opened(c, incarnation):
    """With a link to each; its incarnation is ordered before what it sends next."""
    chain_id, height, head = c.run(1, "SELECT s.chain_id, b.height, b.hash FROM dadbs.status s, dadbs.blocks b ORDER BY b.height DESC LIMIT 1")[0]
    origin = EvilOrigin(evil(c), bytes(chain_id), incarnation)
    with origin.linked({i: peer_port(c, i) for i in HONEST}):
        origin.send(origin.entry(height, bytes(head)), HONEST)
        eventually(lambda: c.value(1, "SELECT dadbs.applied_height()") > height, 60, "a block with its incarnation")
        c.settle()
        yield origin


def evil_row(c, value):
    base = (c.value(1, "SELECT dadbs.applied_height()") << 20) + (1 << 20) - 1
    return write_set(base, inserted("public", "evil", value, EVIL))


def primary_of(c):
    return int(c.value(1, 'SELECT "primary" FROM dadbs.status').lstrip("m"))


def rows(c, i):
    return c.run(i, "SELECT id FROM evil ORDER BY 1")


@suite.test
def it_withholds_batches_and_contradicts_itself(c):
    """A batch for one member only, two under one number, one that comes again and again, one that makes no sense: the others agree, and go on."""
    c.run(1, "CREATE TABLE evil (id int PRIMARY KEY, by int)")
    c.settle()
    incarnation = 1000  # higher than any that its own server has begun
    with opened(c, incarnation) as origin:
        first = origin.batch(1, evil_row(c, 1))

        def given_to_primary():
            origin.send(first, [primary_of(c)])  # who that is may change
            return rows(c, 1) == [(1,)]
        eventually(given_to_primary, 60, "what only the primary was given is ordered")
        for i in HONEST:
            eventually(lambda i=i: rows(c, i) == [(1,)], 60, f"it comes to member {i}")
        primary = primary_of(c)
        others = [i for i in HONEST if i != primary]
        with others_go_on(c, "a batch for one that is not primary") as go_on:
            origin.send(origin.batch(2, evil_row(c, 2)), others[:1])
            while go_on():
                time.sleep(0.05)
        with others_go_on(c, "two batches under one number") as go_on:
            for k in range(20):
                origin.send(origin.batch(3 + k, evil_row(c, 100 + k)), [primary])
                origin.send(origin.batch(3 + k, evil_row(c, 200 + k)), others)
            while go_on():
                time.sleep(0.05)
        with others_go_on(c, "replayed and senseless batches") as go_on:
            again, senseless = origin.batch(1, evil_row(c, 1)), origin.batch(23, write_set(1, b"?"))
            while go_on():
                origin.send(again, HONEST)
                origin.send(senseless, HONEST)
                time.sleep(0.01)
    def seen(i):
        return rows(c, i), c.run(i, f"SELECT verdict, count(*) FROM dadbs.transactions WHERE id LIKE '{EVIL}.{incarnation}.%' GROUP BY 1 ORDER BY 1")
    eventually(lambda: seen(1) == seen(2) == seen(3), 60, "the others have the same of it")
    found, verdicts = seen(1)
    equal([k for k in range(20) if (100 + k,) in found and (200 + k,) in found], [], "numbers with two transactions")
    print(f"# rows {found}, verdicts {verdicts}")
    for i in HONEST:
        equal(c.run(i, "SELECT node, count FROM dadbs.faults WHERE kind = 'an invalid write set'"), [("m4", dict(verdicts).get("invalid", 0))], "write sets that make no sense")
        equal(c.run(i, "SELECT DISTINCT name, kind FROM dadbs.evidence"), [("m4", "batches")], "what alone proves something")


@suite.test
def its_owner_comes_back(c):
    """Others have signed with his key meanwhile. His server finds out, and is a member again in a new era."""
    c.start_member(EVIL)
    c.n = 4
    eventually(lambda: c.value(EVIL, "SELECT can_write AND incarnation >= 1 << 20 FROM dadbs.status"), 60, "member 4 has rejoined")
    c.run(EVIL, "INSERT INTO evil VALUES (1000, 0)")
    c.check_equal()


if __name__ == "__main__":
    suite.main()
