"""Members on a bad network: delayed, lost, repeated and reordered packets, one-way cuts; TCP and TLS above it are the real ones.

Each member has a network namespace of its own; what goes between them goes through wan.py. Clients of all members write and read meanwhile, and
what they were told is held against the chain (checker.py). Nobody does anything when the network is whole again. DADBS_SEED, DADBS_SECONDS.
"""
import os
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "test", "cluster")]

import workload  # noqa: E402
from checker import check as check_history  # noqa: E402
from harness import LONG, Suite, Workers, check, equal, eventually  # noqa: E402
from partitions_test import Attempt  # noqa: E402
from wan import Wan  # noqa: E402

SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
SECONDS = int(os.environ.get("DADBS_SECONDS", 60 if LONG else 20))
BAD = {"delay_ms": 100, "jitter_ms": 50, "loss": 0.2, "duplicate": 0.05}
REFUSED = ("DA001", "DA002", "40003")
BOUND = 30


def begin(c):
    check(os.geteuid() == 0, "network namespaces need root")
    print(f"# DADBS_SEED={SEED} DADBS_SECONDS={SECONDS}", flush=True)
    c.wan = Wan(c, SEED)
    c.start()
    workload.prepare(c)
    c.run(1, "CREATE TABLE entry (name text PRIMARY KEY)")
    c.settle()


# A round trip is 200 to 300 ms and a lost packet costs as much again: the timeout is what operations.md says of slow networks.
suite = Suite("wan", port=8360, confs=("dadbs.view_change_timeout = '5s'",), begin=begin)


BOOKS = workload.Books()  # one history, whichever tests it has been through


class Clients:
    def __init__(self, c):
        self.c, self.books, self.workers = c, BOOKS, Workers()
        for i in c.members():
            self.workers.start(workload.Writer(c, self.books, SEED, i, 0).work)
            self.workers.start(workload.Reader(c, self.books, SEED, i, "reader").work)

    def count(self):
        return len(self.books.acknowledged_at)

    def go_on(self, more, seconds, what):
        before = self.count()
        eventually(lambda: self.workers.errors or self.count() >= before + more, seconds, f"{more} commits {what}")

    def judge(self):
        c, books = self.c, self.books
        self.workers.join(120)
        equal(books.unexpected[:3], [], "SQLSTATEs that nobody may be told")
        c.wait_ready(120)
        workload.all_is_ordered(c)
        workload.ask_the_rest(c, books)
        anomalies, consistency = check_history(books.history, workload.chain_of(c, 1), workload.ACCOUNTS, workload.BALANCE,
                                               workload.final_reads(c, books))
        check(not anomalies, "; ".join(f"{a.kind}: {a.text}" for a in anomalies[:10]))
        equal(consistency, 1.0, "C")
        print(f"# {len(books.history.writes)} transactions: {dict(sorted(books.states.items(), key=str))}; longest write {books.longest_write:.1f} s", flush=True)


@suite.test
def delay_loss_repetition_and_reordering(c):
    clients = Clients(c)
    clients.go_on(20, 60, "on a good network")
    c.wan.set(**BAD)
    began, before, view = time.monotonic(), clients.count(), c.value(1, "SELECT view FROM dadbs.status")
    while time.monotonic() < began + SECONDS:
        clients.go_on(1, 60, "on a bad network")
    made, took = clients.count() - before, time.monotonic() - began
    views = c.value(1, "SELECT view FROM dadbs.status") - view
    seen = c.wan.set()
    clients.go_on(20, 60, "when it is good again")
    clients.judge()
    print(f"# {made} commits in {took:.0f} s, {views} view changes; packets: {seen}", flush=True)
    check(seen["lost"] > 0.1 * seen["passed"] and seen.get("overtaken", 0) > 0, f"the network was not bad: {seen}")


@suite.test
def one_member_behind_a_bad_link(c):
    """What one way of one member loses: the others do not wait for it, and it is there again by itself."""
    clients = Clients(c)
    clients.go_on(20, 60, "on a good network")
    primary = c.primary()
    for cut in ([[primary, x] for x in c.members() if x != primary], [[x, primary] for x in c.members() if x != primary]):
        c.wan.set(cut=cut)
        clients.go_on(20, 60, f"while one way is cut: {cut}")
        c.wan.set()
        c.wait_ready(120)
        primary = c.primary()
    clients.judge()


@suite.test
def halves_refuse_and_heal(c):
    """Two of four cannot agree: refused within a bound, answered when they meet again."""
    c.wan.set(**{**BAD, "loss": 0.05}, cut=[[a, b] for a in c.members() for b in c.members() if (a <= 2) != (b <= 2)])
    made = [Attempt(c, i, f"half {i}") for i in c.members()]
    for a in made:
        check(a.state in REFUSED, f"a write on member {a.member} gives {a.state or 'no error'}")
        check(a.seconds < BOUND, f"a write on member {a.member} was refused after {a.seconds:.1f} s only")
        c.value(a.member, "SELECT count(*) FROM entry")
    c.wan.set()
    c.wait_ready(120)
    workload.all_is_ordered(c)
    there = {r[0] for r in c.run(1, "SELECT name FROM entry")}
    for a in made:
        expected = a.state == "40003" and c.value(a.member, a.question) == "committed"
        equal(a.name in there, expected, f"{a.name} ({a.state}) is there")


if __name__ == "__main__":
    suite.main()
