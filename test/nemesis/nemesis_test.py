"""Clients of all members write and read while processes, servers and links fail; then what they were told is held against the chain.

See workload.py (what clients do), faults.py (what fails) and checker.py (what is promised). DADBS_MEMBERS (4), DADBS_SECONDS (45) and
DADBS_SEED choose the run; the seed that was used is printed. Ends with figures: transactions, faults, consistency, and the longest time
without an acknowledged commit.
"""
import os
import pickle
import sys
import time

import psycopg2

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "test", "cluster")]

import harness  # noqa: E402
from checker import check as check_history  # noqa: E402
from faults import Faults  # noqa: E402
from harness import LONG, Suite, Workers, check, equal, eventually  # noqa: E402
from workload import ACCOUNTS, BALANCE, Books, Reader, Writer, all_is_ordered, ask_the_rest, chain_of, final_reads, prepare  # noqa: E402

MEMBERS = int(os.environ.get("DADBS_MEMBERS", 4))
SECONDS = int(os.environ.get("DADBS_SECONDS", 900 if LONG else 45))
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
harness.LIMIT = max(harness.LIMIT, 4 * SECONDS + 300)  # judging takes its time too

suite = Suite(f"nemesis of {MEMBERS}", members=MEMBERS, port=8300)


def progress(books, workers, what):
    before = len(books.acknowledged_at)
    eventually(lambda: workers.errors or len(books.acknowledged_at) > before + 3, 90, f"commits after: {what}")


def longest_gap(times, began, ended):
    points = [began, *sorted(times), ended]
    return max(b - a for a, b in zip(points, points[1:]))


def run_faults(c, books, workers):
    """Half of them meet members that have not yet got over the one before."""
    faults = Faults(c, SEED)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and not workers.errors and not books.unexpected:
        started = time.monotonic()
        told = faults.hit()
        took = time.monotonic() - started
        if faults.rng.random() < 0.5:
            progress(books, workers, told)
            c.wait_ready(120)
        print(f"# {time.monotonic() - until + SECONDS:6.1f} s: {told} ({took:.1f} s); {len(books.acknowledged_at)} acknowledged", flush=True)
    progress(books, workers, "the last fault")
    return faults.done


def judge(c, books):
    chain = chain_of(c, 1)  # that the others have the same one is looked at after each test
    keep = os.environ.get("DADBS_HISTORY")
    finals = final_reads(c, books)
    if keep:
        with open(keep, "wb") as f:
            pickle.dump((books.history, chain, finals), f)
    anomalies, consistency = check_history(books.history, chain, ACCOUNTS, BALANCE, finals)
    return chain, anomalies, consistency


@suite.test
def everything_fails(c):
    print(f"# DADBS_SEED={SEED} DADBS_SECONDS={SECONDS} DADBS_MEMBERS={MEMBERS}", flush=True)
    prepare(c)
    books, workers = Books(), Workers()
    for i in c.members():
        for k in range(3 if c.n <= 4 else 2):
            workers.start(Writer(c, books, SEED, i, k).work)
        workers.start(Reader(c, books, SEED, i, "reader").work)
    progress(books, workers, "the start")
    began = time.monotonic()
    done = run_faults(c, books, workers)
    ended = time.monotonic()
    workers.join(120)
    equal(books.unexpected[:3], [], "SQLSTATEs that nobody may be told")
    c.wait_ready(120)
    all_is_ordered(c)
    ask_the_rest(c, books)
    chain, anomalies, consistency = judge(c, books)
    h = books.history
    print(f"# {len(h.writes)} transactions: {dict(sorted(books.states.items(), key=str))}; {len(chain)} on the chain; {len(h.reads)} snapshots, "
          f"{len(h.awaited)} reads after wait_for, {len(h.answers)} answers of transaction_status", flush=True)
    print(f"# {sum(done.values())} faults: {dict(sorted(done.items()))}", flush=True)
    print(f"# C = {consistency:.6f}; no commit for {longest_gap(books.acknowledged_at, began, ended):.1f} s at most; longest write {books.longest_write:.1f} s", flush=True)
    check(not anomalies, f"{len(anomalies)} anomalies, seed {SEED}: " + "; ".join(f"{a.kind}: {a.text}" for a in anomalies[:10]))
    equal(consistency, 1.0, "C")
    check(len(chain) > 50, "hardly any transactions")
    check({r.member for r in h.reads} == set(c.members()), "a member was never read")


if __name__ == "__main__":
    suite.main()
