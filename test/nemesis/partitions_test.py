"""Members cut into parts, every way there is: who has a quorum goes on, who has none refuses writes with a clear error, and reads go on.
Then members restarted one after the other under load: who is not restarted notices nothing but lost races.

Nothing comes through a cut, and no link is closed, as in a network that loses its way: so for ten seconds a member believes that it has a
quorum, and hands writes over that nobody answers (40003 after dadbs.commit_timeout); after that it refuses them at once (DA001). The short
form takes one way to cut the members into two and one seeded other; the long one takes all.
"""
import os
import random
import re
import sys
import time

import psycopg2

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "test", "cluster")]

import workload  # noqa: E402
from checker import OK, check as check_history  # noqa: E402
from clients import Background  # noqa: E402
from faults import Faults, partitions  # noqa: E402
from harness import LONG, Suite, Workers, check, equal, eventually  # noqa: E402

MEMBERS = int(os.environ.get("DADBS_MEMBERS", 4))
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
NAME = f"partitions of {MEMBERS}"
# No commit may keep its client longer than its commit_timeout and what a loaded machine adds.
TIMEOUT_MS, BOUND = 3000, 30
REFUSED = ("DA001", "DA002", "40003")

suite = Suite(NAME, members=MEMBERS, port=8330)


class Attempt:
    """One write on one member: its SQLSTATE (None: committed), how long it took, and what asks for its outcome."""

    def __init__(self, c, member, name):
        self.member, self.name, self.state, self.question = member, name, None, None
        connection = c.connect(member, options=f"-c dadbs.commit_timeout={TIMEOUT_MS}")
        started = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO entry VALUES (%s)", (name,))
        except psycopg2.Error as e:
            self.state, self.text = e.pgcode or "connection lost", str(e)
            found = re.search(r"SELECT dadbs.transaction_status\(.*\)", e.diag.message_hint or "")
            self.question = found and found.group(0)
        finally:
            self.seconds = time.monotonic() - started
            connection.close()


def prepare(c):
    if c.value(1, "SELECT to_regclass('entry') IS NULL"):
        c.run(1, "CREATE TABLE entry (name text PRIMARY KEY)")
        c.settle()


def attempts(c, members, what):
    """Of all members at once."""
    running = [Background(Attempt, c, m, f"{what} {m} {time.monotonic_ns()}") for m in members]
    return [a.result(3 * BOUND, "a write in a partition") for a in running]


def refused(c, minority, what):
    """Writes are refused, within a bound; reads are answered."""
    made = attempts(c, minority, what)
    for a in made:
        check(a.state in REFUSED, f"{what}: a write on member {a.member} gives {a.state or 'no error'}")
        check(a.seconds < BOUND, f"{what}: a write on member {a.member} was refused after {a.seconds:.1f} s only")
        c.value(a.member, "SELECT count(*) FROM entry")
    return made


def goes_on(c, majority, what):
    made = []

    def all_commit():
        made.extend(attempts(c, majority, what))
        return all(a.state is None for a in made[-len(majority):])
    eventually(all_commit, 60, f"{what}: commits on {majority}")
    return made


def true_in_the_end(c, made, what):
    """What was acknowledged is there, what was refused is not, and transaction_status says of the rest which it is."""
    c.wait_ready(120)
    workload.all_is_ordered(c)
    there = {r[0] for r in c.run(1, "SELECT name FROM entry")}
    for a in made:
        expected = a.state is None
        if a.state == "40003":
            check(a.question, f"{what}: 40003 without a hint: {a.text}")
            expected = c.value(a.member, a.question) == "committed"
        equal(a.name in there, expected, f"{what}: {a.name} ({a.state}) is there")


def cut(c, faults, parts, quorum, until_refused=False):
    what = " | ".join(" ".join(map(str, p)) for p in parts)
    faults.deafen({m: [x for other in parts if other is not part for x in other] for part in parts for m in part})
    majority = next((p for p in parts if len(p) >= quorum), [])
    minority = [m for p in parts if p is not majority for m in p]
    try:
        made = refused(c, minority, what)
        if majority:
            made += goes_on(c, majority, what)
        if until_refused:
            eventually(lambda: all(c.value(m, "SELECT state FROM dadbs.status") == "waiting for quorum" for m in minority), 60,
                       f"{what}: members {minority} see that they are alone")
            late = attempts(c, minority, what)
            check({a.state for a in late} <= {"DA001", "DA002"}, f"{what}: writes when the links are given up: {[(a.member, a.state) for a in late]}")
            made += late
    finally:
        faults.deafen({})
    true_in_the_end(c, made, what)


@suite.test
def every_partition(c):
    print(f"# DADBS_SEED={SEED} DADBS_MEMBERS={MEMBERS}", flush=True)
    prepare(c)
    rng = random.Random(SEED)
    faults = Faults(c, SEED)
    quorum = c.value(1, "SELECT quorum FROM dadbs.status")
    every = partitions(c.members())
    halves = [p for p in every if len(p) == 2 and max(map(len, p)) < quorum]
    cut(c, faults, rng.choice(halves), quorum, until_refused=True)
    others = every if LONG and len(every) < 20 else rng.sample(every, 40 if LONG else 1)
    for parts in others:
        cut(c, faults, parts, quorum, until_refused=LONG and rng.random() < 0.3)
    print(f"# {1 + len(others)} partitions", flush=True)


# Besides OK: lost races, also of sessions that stood in the way (they are ended), open outcomes, and who has lost sight of the others for a moment.
ELSEWHERE = {"40001", "40P01", "40003", "57P01", "DA001", "DA002", "lost in COMMIT", "no connection"}


@suite.test
def rolling_restarts(c):
    """Fast shutdown and start of each member, the primary too; what clients were told is held against the chain."""
    workload.prepare(c)
    books, workers, restarts = workload.Books(), Workers(), []
    for i in c.members():
        for k in range(2):
            workers.start(workload.Writer(c, books, SEED, i, k).work)
    for i in c.members():
        before, began = len(books.acknowledged_at), books.tick()
        c.stop_member(i)
        c.start_member(i)
        c.wait_ready(120)
        restarts.append((i, began, books.tick()))
        eventually(lambda n=before: workers.errors or len(books.acknowledged_at) > n + 5, 60, f"commits after the restart of member {i}")
    workers.join(90)
    for w in books.history.writes:
        if w.outcome != OK and not any(w.member == i and w.ended >= began and w.began <= ended for i, began, ended in restarts):
            check(w.sqlstate in ELSEWHERE, f"member {w.member}, which was not restarted, told a client {w.sqlstate}")
    equal(books.unexpected[:3], [], "SQLSTATEs that nobody may be told")
    workload.all_is_ordered(c)
    workload.ask_the_rest(c, books)
    chain = workload.chain_of(c, 1)
    anomalies, consistency = check_history(books.history, chain, workload.ACCOUNTS, workload.BALANCE, workload.final_reads(c, books))
    print(f"# {len(books.history.writes)} transactions: {dict(sorted(books.states.items(), key=str))}", flush=True)
    check(not anomalies, "; ".join(f"{a.kind}: {a.text}" for a in anomalies[:10]))
    equal(consistency, 1.0, "C")


if __name__ == "__main__":
    suite.main()
