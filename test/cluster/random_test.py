"""Random statements of many kinds from all members at once, sessions and servers killed in between; then everything is equal.

scripts/check runs each for some seconds; the long form runs the generated schemas for DADBS_SECONDS (an hour), a new schema and new
clients each minute, with the servers of two members killed too; it tells after each schema what the workers of the other two take.
DADBS_SEED repeats the dice, not what they lead to.
"""
import os
import random
import signal
import time

import psycopg2

from harness import CONFLICT, LONG, UNKNOWN, Suite, Workers, check, eventually
from memory import workers
from random_schema import make_schema

suite = Suite("random", port=7780)
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))

SCHEMA = [
    "CREATE TABLE a (id int PRIMARY KEY, u text UNIQUE, v numeric, w text)",
    "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, x int CHECK (x < 1000))",
    "CREATE TABLE d (k1 int NOT NULL, k2 text NOT NULL, v int DEFAULT 7, UNIQUE (k1, k2))",
    "CREATE TABLE e (id int PRIMARY KEY, p int UNIQUE DEFERRABLE INITIALLY DEFERRED, a int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY HASH (id)",
    "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "CREATE TABLE s (id bigserial PRIMARY KEY, v text)",
    "CREATE TABLE g (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED)",
    "INSERT INTO a SELECT g, 'u' || g, g, repeat('w', g * 20) FROM generate_series(1, 60) g",
    "INSERT INTO b SELECT g, g, g FROM generate_series(1, 60) g",
    "INSERT INTO e SELECT g, g, g FROM generate_series(1, 30) g",
    "INSERT INTO p SELECT g, 'p' FROM generate_series(1, 30) g",
    "INSERT INTO g SELECT g, g FROM generate_series(1, 30) g",
]

# No constraint is broken: each gives no row.
INVARIANTS = [
    "SELECT p FROM e GROUP BY p HAVING count(*) > 1",
    "SELECT u FROM a GROUP BY u HAVING count(*) > 1",
    "SELECT 1 FROM b LEFT JOIN a ON a.id = b.a WHERE b.a IS NOT NULL AND a.id IS NULL",
    "SELECT 1 FROM e LEFT JOIN a ON a.id = e.a WHERE e.a IS NOT NULL AND a.id IS NULL",
    "SELECT 1 FROM g WHERE twice IS DISTINCT FROM v * 2",
    "SELECT 1 FROM b WHERE x >= 1000",
]

EXPECTED = {CONFLICT, UNKNOWN, "40P01", "23503", "23505", "23514", "57P01", "55000", "DA001", "DA002", None}


def statement(rng):
    k, m, n = rng.randrange(1, 61), rng.randrange(1, 61), rng.randrange(1, 10 ** 6)
    return rng.choice([
        f"INSERT INTO a VALUES ({rng.choice((k, n))}, 'u{n}', {n}, repeat('q', {n % 4000})) ON CONFLICT DO NOTHING",
        f"UPDATE a SET v = v + 1, w = w || 'x' WHERE id = {k}",
        f"UPDATE a SET u = 'u' || {n} WHERE id = {k}",
        f"UPDATE a SET id = {n} WHERE id = {k}",
        f"UPDATE a SET v = v * 1.01 WHERE id BETWEEN {k} AND {k + 3}",
        f"DELETE FROM a WHERE id = {k}",
        f"DELETE FROM a WHERE id > 100 AND id % 7 = {k % 7}",
        f"INSERT INTO b VALUES ({rng.choice((k, n))}, {m}, {n % 1001}) ON CONFLICT (id) DO UPDATE SET x = excluded.x",
        f"UPDATE b SET a = {m} WHERE id = {k}",
        f"UPDATE b SET x = {n % 1001} WHERE a = {k}",
        f"DELETE FROM b WHERE id = {k}",
        f"INSERT INTO d VALUES ({k % 5}, '{m}') ON CONFLICT DO NOTHING",
        f"UPDATE d SET v = v + 1 WHERE k1 = {k % 5}",
        f"DELETE FROM d WHERE k1 = {k % 5} AND k2 = '{m}'",
        "UPDATE e SET p = -p",
        f"UPDATE e SET p = p + 1 WHERE p <= {k}",
        f"INSERT INTO e VALUES ({n}, {n}, {m})",
        f"DELETE FROM e WHERE id = {k}",
        f"UPDATE p SET id = {n} WHERE id = {k}",
        f"INSERT INTO p VALUES ({n}, 'n'), ({n + 1}, 'n1')",
        f"UPDATE p SET v = v || '.' WHERE id % 5 = {k % 5}",
        f"INSERT INTO s (v) VALUES ('{n}'), (NULL)",
        f"DELETE FROM s WHERE v = '{n % 100}'",
        f"UPDATE g SET v = {n % 100} WHERE id = {k}",
        "SAVEPOINT x; UPDATE g SET v = v + 1 WHERE id = 3; ROLLBACK TO x",
        "SAVEPOINT y; UPDATE g SET v = v + 1 WHERE id = 4; RELEASE y",
    ])


def retry(c, member, text):
    """TRUNCATE is no definition: it may lose."""
    while True:
        try:
            return c.run(member, text)
        except psycopg2.Error as e:
            check(e.pgcode == CONFLICT and text.startswith("TRUNCATE"), f"{text}: {e.pgcode} {e}")


class Clients:
    def __init__(self, c, per_member):
        self.c, self.committed, self.states, self.workers = c, 0, {}, Workers()
        for member in c.members():
            for k in range(per_member):
                self.workers.start(self.work, member, random.Random(f"{SEED} {member} {k}"))

    def work(self, stop, member, rng):
        connection = None
        while not stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member, autocommit=False)
                cursor = connection.cursor()
                for _ in range(rng.randrange(1, 5)):
                    cursor.execute(statement(rng))
                if rng.randrange(8) == 0:
                    connection.rollback()
                else:
                    connection.commit()
                    self.committed += 1
            except psycopg2.Error as e:
                check(e.pgcode in EXPECTED, f"member {member}: {e.pgcode} {e}")
                self.states[e.pgcode] = self.states.get(e.pgcode, 0) + 1
                if connection is None or connection.closed:
                    connection = None
                    time.sleep(0.1)
                else:
                    try:
                        connection.rollback()
                    except psycopg2.Error:
                        connection.close()

    def finish(self):
        eventually(lambda: self.workers.errors or self.committed > 30, 60, f"seed {SEED}: commits, {self.states}")
        self.workers.join()
        self.c.wait_ready()
        self.c.settle()
        print(f"# seed {SEED}: {self.committed} committed, {self.states}", flush=True)
        for query in INVARIANTS:
            found = self.c.value(1, f"SELECT count(*) FROM ({query}) q")
            check(found == 0, f"{found} rows of: {query}")
        check(self.committed > 30, f"only {self.committed} transactions were committed: {self.states}")


@suite.test
def statements_of_many_kinds(c):
    c.run(1, *SCHEMA)
    c.settle()
    clients = Clients(c, 2)
    time.sleep(10 if not LONG else 120)
    clients.finish()


@suite.test
def with_definitions_changing(c):
    clients = Clients(c, 1)
    for k in range(6 if not LONG else 60):
        time.sleep(1)
        member = 1 + k % c.n
        for ddl in (f"ALTER TABLE a ADD COLUMN extra{k} int DEFAULT {k}", f"CREATE INDEX ON b (x, a, id) WHERE x > {k}",
                    "TRUNCATE d", f"ALTER TABLE a DROP COLUMN extra{k}"):
            retry(c, member, ddl)
    clients.finish()


@suite.test
def with_a_member_killed(c):
    clients = Clients(c, 1)
    for member in (2, 4):
        time.sleep(2)
        c.kill(member)
        time.sleep(1)
        c.start_member(member)
    time.sleep(3)
    clients.finish()


# Constraints of all kinds, cancels and terminations, a row that a cascade of the same statement has changed, TRUNCATE with checks pending.
ALLOWED = ("23", "40001", "40003", "40P01", "57014", "57P01", "57P02", "57P03", "DA001", "DA002", "27000", "55006")


# Members whose servers are not killed: what their workers take after an hour can be compared with the beginning.
LEFT_ALONE = (1, 2)


class Generated:
    """Clients of a schema made by dice; each transaction has statements, savepoints and errors."""

    def __init__(self, c, number):
        self.c, self.number = c, number
        rng = random.Random(f"{SEED} schema {number}")
        self.tables = make_schema(rng, f"r{number}_", rng.randrange(4, 8))
        self.states = {}
        self.workers = Workers()

    def create(self):
        for table in self.tables:
            for statement in table.definitions():
                self.c.run(1, statement)
        self.c.settle()

    def start(self):
        for member in self.c.members():
            for k in range(3):
                self.workers.start(self.work, member, random.Random(f"{SEED} {self.number} {member} {k}"))

    def count(self, state):
        self.states[state] = self.states.get(state, 0) + 1

    def statement(self, cursor, rng):
        """In half of the cases behind a savepoint, which is rolled back, released, or needed."""
        text = rng.choice(self.tables).statement(rng)
        if rng.random() < 0.5:
            return cursor.execute(text)
        cursor.execute("SAVEPOINT s")
        try:
            cursor.execute(text)
        except psycopg2.Error as e:
            if e.pgcode is None or not e.pgcode.startswith("23"):
                raise
            self.count("behind a savepoint")
            cursor.execute("ROLLBACK TO s")
            return None
        return cursor.execute(rng.choice(("RELEASE s", "ROLLBACK TO s", "RELEASE s")))

    def work(self, stop, member, rng):
        connection = None
        while not stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member, autocommit=False)
                with connection.cursor() as cursor:
                    if rng.random() < 0.2:
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    for _ in range(rng.randrange(1, 6)):
                        self.statement(cursor, rng)
                connection.rollback() if rng.random() < 0.1 else connection.commit()
                self.count("ended")
            except psycopg2.Error as e:
                check(e.pgcode is None or e.pgcode.startswith(ALLOWED), f"seed {SEED}, member {member}: {e.pgcode} {e}")
                self.count(e.pgcode)
                if connection is None or connection.closed:
                    connection = None
                    time.sleep(0.1)
                    continue
                try:
                    connection.rollback()
                except psycopg2.Error:
                    connection.close()

    def disturb(self, seconds, servers):
        rng, until = random.Random(f"{SEED} {self.number} disturbances"), time.monotonic() + seconds
        while time.monotonic() < until and not self.workers.errors:
            time.sleep(0.3)
            member = rng.choice(list(self.c.members()))
            if servers and member not in LEFT_ALONE and rng.random() < 0.1:
                self.c.kill(member)
                time.sleep(rng.random())
                self.c.start_member(member)
            try:
                pids = [r[0] for r in self.c.run(member, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")]
                os.kill(rng.choice(pids), rng.choice((signal.SIGINT, signal.SIGTERM)))
            except (psycopg2.Error, ProcessLookupError, IndexError):
                pass

    def finish(self):
        # The last schema may have had no time at all.
        eventually(lambda: self.workers.errors or self.states.get("ended", 0) > 50, 60, f"seed {SEED}: transactions that end, {self.states}")
        self.workers.join(150)  # a read may wait for a minute after a start (dadbs.start_read_timeout)
        self.c.wait_ready()
        self.c.settle(60)
        rows = {t.name: self.c.value(1, f"SELECT count(*) FROM {t.name}") for t in self.tables}
        print(f"# seed {SEED}, schema {self.number}: {dict(sorted(self.states.items(), key=str))}, rows {rows}", flush=True)
        for table in self.tables:
            for query in table.invariants():
                found = self.c.value(1, f"SELECT count(*) FROM ({query}) q")
                check(found == 0, f"seed {SEED}: {found} rows of: {query}")
        check(self.states.get("ended", 0) > 50, f"hardly anything was committed: {self.states}")


@suite.test
def generated_schemas(c):
    until = time.monotonic() + int(os.environ.get("DADBS_SECONDS", 3600 if LONG else 14))
    number = 0
    while time.monotonic() < until:
        number += 1
        run = Generated(c, number)
        run.create()
        run.start()
        run.disturb(min(60 if LONG else 8, until - time.monotonic()), LONG)
        run.finish()
        c.check_equal()
        if LONG:
            for member in LEFT_ALONE:
                print(f"# {time.strftime('%H:%M:%S')} memory of m{member}: " +
                      ", ".join(f"{name} own {p.own_kb} pss {p.pss_kb} kB" for name, p in workers(c, member).items()), flush=True)


if __name__ == "__main__":
    suite.main()
