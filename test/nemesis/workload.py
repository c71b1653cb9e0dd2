"""Clients that write down all that they are told: transfers between accounts that append their number to two lists, and snapshots.

Each transaction inserts a row of `op` that says what it does, moves money and appends its number to two lists; so the chain, read through
dadbs.changes, says what the tables must have been at each position (checker.py). A new generation of lists begins after some hundred
transactions, so that they stay short. Each client has its dice; what was done when is the machine's.
"""
import itertools
import random
import re
import threading
import time

import psycopg2
import psycopg2.extensions

from checker import FAILED, OK, UNKNOWN, Answer, Awaited, Effect, History, Read, Write
from harness import check, eventually

ACCOUNTS, BALANCE = 60, 1000
LISTS, PER_GENERATION = 10, 1000
COMMIT_TIMEOUT = "5s"
UNKNOWN_STATE = "40003"
# What a client may be told when nothing was changed: lost races, sessions and servers that are ended, members without the others or just starting.
REFUSALS = {"40001", "40P01", "57014", "57P01", "57P02", "57P03", "DA001", "DA002"}
SNAPSHOT = """SELECT (SELECT ARRAY[height, index] FROM dadbs_internal.transaction ORDER BY height DESC, index DESC LIMIT 1),
    (SELECT array_agg(balance ORDER BY id) FROM account), (SELECT jsonb_object_agg(id, elements) FROM list WHERE id = ANY(%s))"""


class Books:
    """The history, and how the clients fared."""

    def __init__(self):
        self.history = History()
        self.ticks, self.ids = itertools.count(1), itertools.count(1)
        self.states = {}
        self.open = {}                # id -> (member, xid) of sessions that were lost in COMMIT
        self.acknowledged_at = []     # monotonic time of each acknowledgement
        self.longest_write = 0.0
        self.unexpected = []
        self.lock = threading.Lock()

    def tick(self):
        return next(self.ticks)

    def count(self, state):
        with self.lock:
            self.states[state] = self.states.get(state, 0) + 1


def prepare(c):
    c.run(1, "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)", "CREATE TABLE list (id text PRIMARY KEY, elements bigint[] NOT NULL)",
          "CREATE TABLE op (id bigint PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, amount int NOT NULL, lists text[] NOT NULL)",
          f"INSERT INTO account SELECT i, {BALANCE} FROM generate_series(0, {ACCOUNTS - 1}) i")
    c.settle()


def all_is_ordered(c):
    """Transactions of one member have no gaps on the chain: when a new one of each has committed, nothing older can still come."""
    for i in c.members():
        def commits(member=i):
            try:
                c.run(member, "SET dadbs.commit_timeout = '20s'", "CREATE TABLE IF NOT EXISTS fence (id bigint PRIMARY KEY)",
                      f"INSERT INTO fence VALUES ({time.monotonic_ns()})")
                return True
            except psycopg2.Error:
                return False
        eventually(commits, 120, f"a commit on member {i} when all is over")
    c.settle(120)


def lists_of(number, rng):
    return sorted(f"{number // PER_GENERATION}.{k}" for k in rng.sample(range(LISTS), 2))


class Client:
    def __init__(self, c, books, seed, member, number):
        self.c, self.books, self.member = c, books, member
        self.rng = random.Random(f"{seed} {member} {number}")
        self.sessions = {}

    def session(self, member):
        connection = self.sessions.get(member)
        if connection is None or connection.closed:
            connection = self.c.connect(member, autocommit=False, options=f"-c dadbs.commit_timeout={COMMIT_TIMEOUT}")
            self.sessions[member] = connection
        return connection

    def drop(self, member):
        connection = self.sessions.pop(member, None)
        if connection is not None:
            connection.close()

    def close(self):
        for member in list(self.sessions):
            self.drop(member)


class Writer(Client):
    def work(self, stop):
        while not stop.is_set():
            self.write()
        self.close()

    def write(self):
        number, began = next(self.books.ids), self.books.tick()
        started = time.monotonic()
        outcome, state = self.attempt(number)
        now = time.monotonic()
        if outcome == OK:
            self.books.acknowledged_at.append(now)
        with self.books.lock:
            self.books.longest_write = max(self.books.longest_write, now - started)
        self.books.history.writes.append(Write(number, self.member, began, self.books.tick(), outcome, state))
        self.books.count(state or outcome)
        if outcome == OK and self.rng.random() < 0.1:
            self.wait_elsewhere(number)
        elif outcome == FAILED:
            time.sleep(0.1 if state not in ("40001", "40P01") else self.rng.uniform(0, 0.03))

    def attempt(self, number):
        """(outcome, SQLSTATE)."""
        try:
            connection = self.session(self.member)
            xid = self.statements(connection, number)
        except psycopg2.Error as e:
            return self.refused(e)
        try:
            connection.commit()
            return OK, None
        except psycopg2.Error as e:
            if e.pgcode is not None and e.pgcode != UNKNOWN_STATE:
                return self.refused(e)
            self.resolve(number, xid, e)
            return UNKNOWN, e.pgcode or "lost in COMMIT"

    def statements(self, connection, number):
        payer, payee = self.rng.sample(range(ACCOUNTS), 2)
        amount, lists = self.rng.randrange(1, 10), lists_of(number, self.rng)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO op VALUES (%s, %s, %s, %s, %s) RETURNING pg_current_xact_id()::text", (number, payer, payee, amount, lists))
            xid = cursor.fetchone()[0]
            cursor.execute("UPDATE account SET balance = balance - %s WHERE id = %s", (amount, payer))
            cursor.execute("UPDATE account SET balance = balance + %s WHERE id = %s", (amount, payee))
            for name in lists:
                cursor.execute("INSERT INTO list VALUES (%s, ARRAY[%s::bigint]) ON CONFLICT (id) DO UPDATE SET elements = list.elements || excluded.elements",
                               (name, number))
        return xid

    def refused(self, error):
        if error.pgcode is not None and error.pgcode not in REFUSALS:
            self.books.unexpected.append(f"{error.pgcode} {error}")
        connection = self.sessions.get(self.member)
        try:
            if connection is not None:
                connection.rollback()
        except psycopg2.Error:
            pass
        if connection is not None and connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self.drop(self.member)
        return FAILED, error.pgcode or "no connection"

    def resolve(self, number, xid, error):
        """By the statement in the error's hint, now; what cannot be asked is asked when all is over."""
        question = re.search(r"SELECT dadbs.transaction_status\(.*\)", error.diag.message_hint or "")
        if question is None or not self.ask(number, question.group(0)):
            self.drop(self.member)
            self.books.open[number] = (self.member, xid)

    def ask(self, number, question):
        member = self.rng.choice([self.member, 1 + self.member % self.c.n])
        try:
            for _ in range(20):
                began = self.books.tick()
                connection = self.session(member)
                connection.rollback()
                with connection.cursor() as cursor:
                    cursor.execute(question)
                    status = cursor.fetchone()[0]
                connection.rollback()
                if status not in ("in progress", "unknown"):
                    self.books.history.answers.append(Answer(number, status, began, self.books.tick()))
                    self.books.count("asked")
                    return True
                time.sleep(0.1)
        except psycopg2.Error:
            self.drop(member)
        return False

    def wait_elsewhere(self, number):
        """Reads its write on another member, after dadbs.wait_for()."""
        other = self.rng.choice([i for i in self.c.members() if i != self.member])
        try:
            own = self.sessions[self.member]
            with own.cursor() as cursor:
                cursor.execute("SELECT dadbs.last_transaction_id()")
                name = cursor.fetchone()[0]
            own.rollback()
            with self.session(other).cursor() as cursor:
                cursor.execute("SELECT dadbs.wait_for(%s, '5 s')", (name,))
                there = cursor.fetchone()[0]
                self.sessions[other].rollback()
                if there:
                    cursor.execute("SELECT count(*) FROM op WHERE id = %s", (number,))
                    self.books.history.awaited.append(Awaited(number, other, cursor.fetchone()[0] == 1))
            self.sessions[other].rollback()
        except psycopg2.Error:
            self.drop(other)
            self.drop(self.member)


class Reader(Client):
    def work(self, stop):
        while not stop.is_set():
            try:
                read = self.snapshot()
            except psycopg2.Error:
                self.drop(self.member)
                time.sleep(0.1)
                continue
            self.books.history.reads.append(read)
            time.sleep(0.1)
        self.close()

    def snapshot(self, names=None):
        latest = len(self.books.history.writes) // PER_GENERATION
        if names is None:
            names = [f"{g}.{k}" for g in (latest, max(0, latest - 1)) for k in range(LISTS)]
        connection, began = self.session(self.member), self.books.tick()
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT, (names,))
            position, balances, lists = cursor.fetchone()
        connection.rollback()
        return Read(self.member, began, self.books.tick(), tuple(position), balances, lists or {})


def final_reads(c, books):
    """All lists, on every member, when all is over."""
    names = [f"{g}.{k}" for g in range(next(books.ids) // PER_GENERATION + 1) for k in range(LISTS)]
    reads = []
    for i in c.members():
        reader = Reader(c, books, 0, i, "final")
        reads.append(reader.snapshot(names))
        reader.close()
    return reads


def ask_the_rest(c, books):
    """Outcomes that were open when their sessions were lost: after all_is_ordered() a transaction that is not on the chain never comes."""
    for number, (member, xid) in books.open.items():
        began = books.tick()
        status = c.value(1 + member % c.n, f"SELECT dadbs.transaction_status('m{member}', '{xid}')")
        check(status != "in progress", f"transaction {number} is in progress for ever")
        books.history.answers.append(Answer(number, status, began, books.tick()))


def chain_of(c, member):
    """[(position, Effect)] by what the chain says of the rows of `op`, not by the tables."""
    rows = c.run(member, "SELECT height, position, (new_row->>'id')::bigint, (new_row->>'payer')::int, (new_row->>'payee')::int, "
                         "(new_row->>'amount')::int, new_row->'lists' FROM dadbs.changes "
                         "WHERE relation = 'public.op' AND operation = 'INSERT' ORDER BY height, position")
    return [((r[0], r[1]), Effect(*r[2:])) for r in rows]
