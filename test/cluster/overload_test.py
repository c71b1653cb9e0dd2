"""More than a member can do at once: somebody gets on at all times, memory stays bounded, and nothing is lost.

Five hundred clients, a large transaction beside small ones, a member with a tenth of its processor, and storms on one row, of which
it is counted how often a transaction is retried. The long form (DADBS_LONG=1) takes larger ones of each.
"""
import threading
import time
from collections import Counter

import psycopg2

from clients import Background, everywhere
from harness import CONFLICT, LONG, Suite, Throttle, Workers, check, equal, eventually
from memory import processes, workers

CLIENTS = 500
SHARED_MB = 64               # of the extension, at most, at default settings
WORKERS_MB = 1536 if LONG else 512  # all of one member's, at their largest
STORM_SECONDS = 30 if LONG else 6
LARGE_ROWS = 200_000 if LONG else 20_000  # of a kilobyte each
STALL = 15                   # nobody gets on for so long, on a machine that others use too

suite = Suite("overload", port=9580, confs=(f"max_connections = {CLIENTS + 100}",))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Clients:
    """Sessions that do an action again and again, and retry it when it has lost a race."""

    def __init__(self, c, action):
        self.c, self.action, self.workers = c, action, Workers()
        self.lock = threading.Lock()
        self.committed, self.retries, self.waits, self.moments = Counter(), 0, [], []

    def start(self, member, k):
        self.workers.start(self.run, member, k)

    def run(self, stop, member, k):
        connection = self.c.connect(member)
        with connection.cursor() as cursor:
            n = 0
            while not stop.is_set():
                began, retries = time.monotonic(), 0
                while not self.tried(cursor, member, k, n):
                    retries += 1
                    if stop.is_set():
                        return
                n += 1
                with self.lock:
                    self.committed[member, k] += 1
                    self.retries += retries
                    self.moments.append(time.monotonic())
                    self.waits.append(time.monotonic() - began)
        connection.close()

    def tried(self, cursor, member, k, n):
        try:
            cursor.execute(self.action(member, k, n))
            return True
        except psycopg2.Error as e:
            if e.pgcode != CONFLICT:
                raise
            return False

    def stop(self):
        self.workers.join(120)

    def longest_pause(self, since, until):
        moments = sorted(m for m in self.moments if since <= m <= until)
        return max(b - a for a, b in zip([since, *moments], [*moments, until]))


class Peak:
    """The most memory that the workers of a member took, by looking now and then."""

    def __init__(self, c, member):
        self.kb, self.ended = 0, threading.Event()

        def body():
            while not self.ended.wait(0.3):
                try:
                    self.kb = max(self.kb, sum(w.own_kb for w in workers(c, member).values()))
                except OSError:
                    continue
        self.thread = threading.Thread(target=body, daemon=True)
        self.thread.start()

    def end(self):
        self.ended.set()
        self.thread.join(10)
        return self.kb / 1024


@suite.test
def shared_memory(c):
    """It is asked for at the start, and is what it is."""
    mb = float(c.value(1, "SELECT sum(allocated_size) / 1048576.0 FROM pg_shmem_allocations WHERE name LIKE 'dadbs%'"))
    print(f"# {mb:.1f} MB for {CLIENTS + 100} connections", flush=True)
    check(0 < mb <= SHARED_MB, f"{mb:.1f} MB")


@suite.test
def five_hundred_clients(c):
    """On one member, all at once: each of them gets on, and the member answers others meanwhile."""
    c.run(1, "CREATE TABLE own (id int PRIMARY KEY, n int NOT NULL)", f"INSERT INTO own SELECT i, 0 FROM generate_series(1, {CLIENTS}) i")
    c.settle()
    clients, peak = Clients(c, lambda member, k, n: f"UPDATE own SET n = n + 1 WHERE id = {k}"), Peak(c, 1)
    for k in range(1, CLIENTS + 1):
        clients.start(1, k)
    eventually(lambda: len(clients.committed) == CLIENTS, 120, "each client has committed")
    began = time.monotonic()
    equal(c.value(2, "SELECT count(*) FROM own"), CLIENTS, "a reader elsewhere")
    time.sleep(STORM_SECONDS)
    until = time.monotonic()
    clients.stop()
    mb = peak.end()
    done = sum(clients.committed.values())
    print(f"# {done} transactions, wait p50 {percentile(clients.waits, 0.5):.2f} s, p99 {percentile(clients.waits, 0.99):.2f} s, "
          f"longest pause of all {clients.longest_pause(began, until):.2f} s, workers {mb:.0f} MB", flush=True)
    check(clients.longest_pause(began, until) < STALL, "nobody got on")
    check(mb < WORKERS_MB, f"the workers took {mb:.0f} MB")
    everywhere(c, "SELECT sum(n) FROM own", [(done,)], "what was acknowledged")


@suite.test
def one_hot_row(c):
    """All members write one row: somebody commits at all times; how often the others retry is counted."""
    c.run(1, "CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO hot VALUES (1, 0)")
    c.settle()
    clients = Clients(c, lambda member, k, n: "UPDATE hot SET n = n + 1 WHERE id = 1")
    for k in range(32):
        clients.start(1 + k % 4, k)
    eventually(lambda: len(clients.moments) > 0, 60, "the first commit")
    began = time.monotonic()
    time.sleep(STORM_SECONDS)
    until = time.monotonic()
    clients.stop()
    done = sum(clients.committed.values())
    print(f"# {done} transactions, {clients.retries / done:.2f} retries each, {len(clients.committed)} of 32 clients got on, "
          f"longest pause {clients.longest_pause(began, until):.2f} s", flush=True)
    check(clients.longest_pause(began, until) < STALL, "nobody got on")
    everywhere(c, "SELECT n FROM hot", [(done,)], "what was acknowledged")


@suite.test
def large_beside_small(c):
    """A large transaction of one member does not stop the small ones of the others."""
    c.run(1, "CREATE TABLE large (id int PRIMARY KEY, filler text NOT NULL)", "CREATE TABLE small (id int PRIMARY KEY, n int NOT NULL)",
          "INSERT INTO small SELECT i, 0 FROM generate_series(1, 16) i")
    c.settle()
    clients, peak = Clients(c, lambda member, k, n: f"UPDATE small SET n = n + 1 WHERE id = {k}"), Peak(c, 2)
    for k in range(1, 9):
        clients.start(2 + k % 3, k)
    eventually(lambda: len(clients.committed) == 8, 60, "each small client has committed")
    began = time.monotonic()
    load = Background(lambda: c.run(1, "SET dadbs.commit_timeout = 0", "INSERT INTO large SELECT i, (SELECT string_agg(md5((i * 32 + k)::text), '') "
                                       f"FROM generate_series(1, 32) k) FROM generate_series(1, {LARGE_ROWS}) i"))
    load.result(900 if LONG else 120)
    took = time.monotonic() - began
    for i in c.members():  # the small ones go on: members are never at one height
        eventually(lambda: c.value(i, f"SELECT count(*) FROM large WHERE id = {LARGE_ROWS}") == 1, 300, f"member {i} has it")
    until = time.monotonic()
    clients.stop()
    mb = peak.end()
    done = sum(clients.committed.values())
    print(f"# {LARGE_ROWS / 1000:.0f} MB in {took:.1f} s, beside it {done} small ones, longest pause {clients.longest_pause(began, until):.2f} s, "
          f"workers {mb:.0f} MB", flush=True)
    check(clients.longest_pause(began, until) < (120 if LONG else STALL), "nobody got on")
    check(mb < WORKERS_MB, f"the workers took {mb:.0f} MB")
    everywhere(c, "SELECT (SELECT count(*) FROM large), (SELECT sum(n) FROM small)", [(LARGE_ROWS, done)], "rows")


@suite.test
def a_slow_member(c):
    """It has a tenth of its processor: the others go on without waiting for it, and it catches up when it can."""
    c.run(1, "CREATE TABLE work (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO work SELECT i, 0 FROM generate_series(1, 24) i")
    c.settle()
    slow = next(i for i in c.members() if i != c.primary())
    clients = Clients(c, lambda member, k, n: f"UPDATE work SET n = n + 1 WHERE id = {k}")
    for k, member in enumerate([i for i in c.members() if i != slow] * 4, 1):
        clients.start(member, k)
    eventually(lambda: len(clients.committed) == 12, 60, "each client has committed")
    before = time.monotonic()
    time.sleep(STORM_SECONDS / 2)
    began = time.monotonic()
    throttle = Throttle(lambda: processes(c, slow).values())
    try:
        time.sleep(STORM_SECONDS)
    finally:
        throttle.end()
    until = time.monotonic()
    clients.stop()
    rates = [sum(a <= m < b for m in clients.moments) / (b - a) for a, b in ((before, began), (began, until))]
    print(f"# {rates[0]:.0f} transactions/s, beside the slow member {rates[1]:.0f}, longest pause {clients.longest_pause(began, until):.2f} s", flush=True)
    check(clients.longest_pause(began, until) < STALL, "nobody got on")
    check(rates[1] > rates[0] / 4, "the others wait for the slow one")
    c.settle(120)
    everywhere(c, "SELECT sum(n) FROM work", [(sum(clients.committed.values()),)], "what was acknowledged")


if __name__ == "__main__":
    suite.main()
