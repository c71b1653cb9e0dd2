"""A bank: transfers among a hundred accounts by clients of all members while sessions, workers and servers are killed.

Each member has eight writers and a reader. At most one member is down at a time; it may be the primary, and then nothing commits
until it is back. Promised, and checked:

  - in each snapshot of each reader the sum of all balances is what it was, and each balance is what the transfers in the
    same snapshot make of it
  - a transfer that was acknowledged is there exactly once, on every member, at the end
  - one that was refused is not there: every SQLSTATE but 40003, and a session that was lost before it sent COMMIT
  - of one whose outcome was open (40003, or a session that was lost in COMMIT) dadbs.transaction_status() says how it ended,
    and it is true: asked by the statement in the error's hint, or on another member by what pg_current_xact_id() gave

scripts/check runs it for 45 seconds, the long form for DADBS_SECONDS (an hour); DADBS_SEED chooses transfers and disturbances.
"""
import os
import random
import re
import signal
import threading
import time

import psycopg2
import psycopg2.extensions

from harness import LONG, UNKNOWN, Suite, Workers, check, equal, eventually, send, worker_pid

suite = Suite("bank", port=7960)
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
SECONDS = int(os.environ.get("DADBS_SECONDS", 3600 if LONG else 45))
WRITERS, ACCOUNTS, BALANCE = 8, 100, 1000
# What a client may be told: lost races, cancels and terminations of ours, a member without the others or just starting.
REFUSALS = {"40001", "40P01", "57014", "57P01", "57P02", "57P03", "DA001", "DA002"}

CONSISTENT = """SELECT (SELECT sum(balance) FROM account), (SELECT count(*) FROM transfer),
    (SELECT count(*) FROM account a LEFT JOIN (SELECT id, sum(amount) AS amount FROM (SELECT payer AS id, -amount AS amount FROM transfer
        UNION ALL SELECT payee, amount FROM transfer) m GROUP BY id) t USING (id) WHERE balance <> %d + coalesce(t.amount, 0))""" % BALANCE


class Books:
    """What the clients were told; names of transfers."""

    def __init__(self):
        self.acknowledged, self.refused = set(), set()
        self.resolved = {}      # name -> committed or not, by the id of a 40003
        self.lost = {}          # name -> (member, xid) of sessions that were lost in COMMIT
        self.states = {}

    def count(self, state):
        self.states[state] = self.states.get(state, 0) + 1


class Writer:
    def __init__(self, c, books, member, number):
        self.c, self.books, self.member, self.number = c, books, member, number
        self.rng = random.Random(f"{SEED} {member} {number}")
        self.connection = None
        self.sent = 0

    def connect(self):
        if self.connection is None or self.connection.closed:
            self.connection = self.c.connect(self.member, autocommit=False)

    def work(self, stop):
        while not stop.is_set():
            self.sent += 1
            name = f"{self.member}.{self.number}.{self.sent}"
            try:
                self.transfer(name)
            except psycopg2.Error as e:
                self.refuse(name, e)
        self.connection.close()

    def transfer(self, name):
        self.connect()
        payer, payee = self.rng.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.rng.randrange(1, 10)
        with self.connection.cursor() as cursor:
            cursor.execute("UPDATE account SET balance = balance - %s WHERE id = %s RETURNING pg_current_xact_id()::text", (amount, payer))
            xid = cursor.fetchone()[0]
            cursor.execute("UPDATE account SET balance = balance + %s WHERE id = %s", (amount, payee))
            cursor.execute("INSERT INTO transfer VALUES (%s, %s, %s, %s)", (name, payer, payee, amount))
        try:
            self.connection.commit()
        except psycopg2.Error as e:
            if e.pgcode is None or e.pgcode == UNKNOWN:
                return self.open_outcome(name, xid, e)
            raise
        self.books.acknowledged.add(name)
        self.books.count("acknowledged")

    def refuse(self, name, error):
        """Before COMMIT was sent, or by an error that says that nothing has happened."""
        self.books.refused.add(name)
        self.books.count(error.pgcode)
        check(error.pgcode is None or error.pgcode in REFUSALS, f"transfer {name}: {error.pgcode} {error}")
        if self.connection is None or self.connection.closed:
            time.sleep(0.1)
            return
        try:
            self.connection.rollback()
        except psycopg2.Error:
            self.connection.close()
            return
        if self.connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            # As in PostgreSQL: the cancel of a COMMIT that had not begun leaves the block, and psycopg2 believes it has ended.
            check(error.pgcode == "57014", f"transfer {name}: {error.pgcode} at COMMIT has left its transaction block open")
            self.connection.close()

    def open_outcome(self, name, xid, error):
        self.books.count(error.pgcode or "lost in COMMIT")
        found = re.search(r"SELECT dadbs.transaction_status\(.*\)", error.diag.message_hint or "")
        if found is None or not self.ask(name, found.group(0)):
            self.books.lost[name] = (self.member, xid)

    def ask(self, name, question):
        """By the statement in the error's hint. False: the session is lost as well, or it is too early for an answer."""
        try:
            self.connection.rollback()
            until = time.monotonic() + 60
            while True:
                with self.connection.cursor() as cursor:
                    cursor.execute(question)
                    status = cursor.fetchone()[0]
                self.connection.rollback()
                if status != "in progress":
                    break
                check(time.monotonic() < until, f"in progress for a minute: {question}")
                time.sleep(0.05)
        except psycopg2.Error as e:
            check(e.pgcode is None or e.pgcode in REFUSALS, f"{question}: {e.pgcode} {e}")
            return False
        if status == "unknown":
            return False
        check(status in ("committed", "conflict", "rejected", "aborted"), f"{question}: {status}")
        self.books.resolved[name] = status == "committed"
        return True


def read(c, member, counts):
    """Snapshots, one after the other; what may fail is the connection, never the sum."""
    def work(stop):
        connection = None
        while not stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = c.connect(member, autocommit=False)
                with connection.cursor() as cursor:
                    cursor.execute(CONSISTENT)
                    total, transfers, wrong = cursor.fetchone()
                connection.rollback()
            except psycopg2.Error:
                if connection is not None:
                    connection.close()
                time.sleep(0.1)
                continue
            check(total == ACCOUNTS * BALANCE, f"member {member}: sum {total} after {transfers} transfers")
            check(wrong == 0, f"member {member}: {wrong} balances are not what {transfers} transfers make of them")
            counts[member] = counts.get(member, 0) + 1
            time.sleep(0.05)
    return work


class Chaos:
    """Kills sessions all the time, and one thing of one member after the other that takes it away for a while."""

    def __init__(self, c, books):
        self.c, self.books, self.rng = c, books, random.Random(f"{SEED} chaos")
        self.done = {}

    def sessions(self, member):
        try:
            return [r[0] for r in self.c.run(member, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                                                     "AND datname = 'shared' AND query NOT LIKE '%wait_for_ready%'")]
        except psycopg2.Error:
            return []

    def disturb_sessions(self, stop):
        """Cancels and terminations: they take nothing but a session away."""
        while not stop.wait(0.3):
            pids = self.sessions(self.rng.choice(list(self.c.members())))
            for pid in self.rng.sample(pids, min(2, len(pids))):
                send([pid], self.rng.choice((signal.SIGINT, signal.SIGTERM)))

    def server(self, member):
        self.c.kill(member)
        time.sleep(self.rng.uniform(0, 2))
        self.c.start_member(member)

    def stopped(self, member):
        self.c.stop_member(member, self.rng.choice(("fast", "immediate")))
        self.c.start_member(member)

    def session(self, member):
        """SIGKILL of one makes its server restart."""
        pids = self.sessions(member)
        if pids:
            send([self.rng.choice(pids)], signal.SIGKILL)

    def worker(self, member, number):
        kind = self.rng.choice(("capture", "consensus", "apply", "launcher"))
        pid = worker_pid(self.c, member, kind)
        if pid is not None:
            send([pid], number)

    def links(self, member):
        self.c.cut(member)
        time.sleep(self.rng.uniform(0, 2))
        self.c.heal(member)

    def run(self, seconds, healthy):
        """Each kind in turn, in random order; the next when all members are well again and writes go on."""
        kinds = {"server": self.server, "stop": self.stopped, "session": self.session, "links": self.links,
                 "worker killed": lambda m: self.worker(m, signal.SIGKILL), "worker terminated": lambda m: self.worker(m, signal.SIGTERM)}
        until = time.monotonic() + seconds
        while True:
            for kind in self.rng.sample(sorted(kinds), len(kinds)):
                if time.monotonic() > until:
                    return
                member = self.rng.choice(list(self.c.members()))
                kinds[kind](member)
                self.done[kind] = self.done.get(kind, 0) + 1
                self.c.wait_ready(90)    # also who was away catches up, while everybody writes as fast as this machine can
                healthy(f"{kind}, member {member}")


def check_books(c, books):
    """Every promise, on every member."""
    statuses = {}
    for name, (member, xid) in books.lost.items():
        other = 1 + member % c.n
        statuses[name] = c.value(other, f"SELECT dadbs.transaction_status('m{member}', '{xid}')")
    for i in c.members():
        stored = {r[0] for r in c.run(i, "SELECT name FROM transfer")}
        missing = sorted(books.acknowledged - stored)
        check(not missing, f"member {i} lost {len(missing)} acknowledged transfers: {missing[:3]}")
        there = sorted(stored & books.refused)
        check(not there, f"member {i} has {len(there)} refused transfers: {there[:3]}")
        for name, committed in books.resolved.items():
            check((name in stored) == committed, f"member {i}: status said {'committed' if committed else 'not'} of transfer {name}")
        for name, status in statuses.items():
            check((name in stored) == (status == "committed"), f"member {i}: status {status} of transfer {name}, {books.lost[name]}, "
                                                               f"which is {'' if name in stored else 'not '}there")
        known = books.acknowledged | {n for n, committed in books.resolved.items() if committed} | {n for n, s in statuses.items() if s == "committed"}
        equal(sorted(stored - known), [], f"transfers on member {i} that nobody made")
        equal(c.run(i, CONSISTENT), [(ACCOUNTS * BALANCE, len(stored), 0)], f"sum, transfers, wrong balances on member {i}")
    return statuses


@suite.test
def transfers_under_fire(c):
    c.run(1, "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)",
          "CREATE TABLE transfer (name text PRIMARY KEY, payer int NOT NULL REFERENCES account, payee int NOT NULL REFERENCES account, amount int NOT NULL)",
          f"INSERT INTO account SELECT i, {BALANCE} FROM generate_series(1, {ACCOUNTS}) i")
    c.settle()
    print(f"# seed {SEED}", flush=True)
    books, snapshots, workers = Books(), {}, Workers()
    chaos = Chaos(c, books)
    for member in c.members():
        workers.start(read(c, member, snapshots))
        for number in range(WRITERS):
            workers.start(Writer(c, books, member, number).work)
    workers.start(chaos.disturb_sessions)

    def healthy(after):
        check(not workers.errors, workers.errors[0] if workers.errors else "")
        before = len(books.acknowledged)
        eventually(lambda: workers.errors or len(books.acknowledged) > before + 5, 60, f"transfers after: {after}")
    healthy("the start")
    chaos.run(SECONDS, healthy)
    workers.join(90)
    c.wait_ready()
    c.settle(60)
    statuses = check_books(c, books)
    found = {s: list(statuses.values()).count(s) for s in set(statuses.values())}
    print(f"# {dict(sorted(books.states.items(), key=str))}, disturbed by {chaos.done}, {sum(snapshots.values())} snapshots; "
          f"open: {len(books.resolved)} asked by id, {found} by xid", flush=True)
    check(len(books.acknowledged) > 100, "hardly any transfers")
    check(all(snapshots.get(i, 0) > 10 for i in c.members()), f"hardly any snapshots: {snapshots}")


if __name__ == "__main__":
    suite.main()
