"""The isolation that docs/limitations.md promises between members, anomaly by anomaly (names: Adya; Hermitage).

Each test runs two transactions on two members, statement by statement, and says who commits and what is read.
"""
import psycopg2

from harness import CONFLICT, Suite, check, equal

suite = Suite("isolation", port=7880)
READ_COMMITTED, REPEATABLE_READ = "READ COMMITTED", "REPEATABLE READ"


class Session:
    def __init__(self, c, member, level):
        self.c, self.connection = c, c.connect(member)
        self.run(f"BEGIN ISOLATION LEVEL {level}")

    def run(self, statement):
        cursor = self.connection.cursor()
        cursor.execute(statement)
        return [r[0] if len(r) == 1 else r for r in cursor.fetchall()] if cursor.description else None

    def outcome(self, statement):
        """Its SQLSTATE, or None."""
        return self.c.outcome(self.connection, lambda: self.run(statement))

    def commit(self):
        return self.outcome("COMMIT")

    def rollback(self):
        self.run("ROLLBACK")

    def close(self):
        self.connection.close()


def pair(c, level, function):
    """Runs function(a, b) with a transaction on member 1 and one on member 2, over a fresh table x: (1, 10), (2, 20)."""
    c.run(1, "DROP TABLE IF EXISTS x")
    c.run(1, "CREATE TABLE x (id int PRIMARY KEY, v int)")
    c.run(1, "INSERT INTO x VALUES (1, 10), (2, 20)")
    c.settle()
    a, b = Session(c, 1, level), Session(c, 2, level)
    try:
        function(a, b)
    finally:
        a.close()
        b.close()
    c.settle()


def one_of_two(first, second, what):
    equal(sorted(map(str, (first, second))), sorted(["None", CONFLICT]), what)


def rows(c, member):
    return c.run(member, "SELECT id, v FROM x ORDER BY id")


@suite.test
def g0_dirty_write(c):
    for level in (READ_COMMITTED, REPEATABLE_READ):
        def both(a, b):
            a.run("UPDATE x SET v = 11 WHERE id = 1")
            b.run("UPDATE x SET v = 12 WHERE id = 1")
            a.run("UPDATE x SET v = 21 WHERE id = 2")
            first = a.commit()
            equal(first, None, "the first COMMIT")
            second = b.outcome("UPDATE x SET v = 22 WHERE id = 2") or b.commit()
            equal(second, CONFLICT, "the transaction that wrote the same row")
        pair(c, level, both)
        equal(rows(c, 3), [(1, 11), (2, 21)], "the rows of one of them")


@suite.test
def g1_dirty_reads(c):
    def both(a, b):
        a.run("UPDATE x SET v = 101 WHERE id = 1")
        equal(b.run("SELECT v FROM x WHERE id = 1"), [10], "before the other's COMMIT")
        a.run("UPDATE x SET v = 11 WHERE id = 1")
        a.rollback()
        equal(b.run("SELECT v FROM x WHERE id = 1"), [10], "after the other's ROLLBACK")
        equal(b.commit(), None, "a reader's COMMIT")
    pair(c, READ_COMMITTED, both)


@suite.test
def a_transaction_is_seen_whole(c):
    """OTV: who sees one row of a transaction sees all of it, on every member."""
    c.run(1, "DROP TABLE IF EXISTS x")
    c.run(1, "CREATE TABLE x (id int PRIMARY KEY, v int)")
    c.run(1, "INSERT INTO x VALUES (1, 0), (2, 0)")
    c.settle()
    readers = [c.connect(i) for i in c.members()]
    for n in range(1, 13):
        c.run(1 + n % 4, f"UPDATE x SET v = {n}")
        for reader in readers:
            cursor = reader.cursor()
            cursor.execute("SELECT count(DISTINCT v) FROM x")
            equal(cursor.fetchone()[0], 1, "values of one transaction")
        c.settle()
    for reader in readers:
        reader.close()


@suite.test
def p4_lost_update(c):
    for level in (READ_COMMITTED, REPEATABLE_READ):
        def both(a, b):
            a.run("SELECT v FROM x WHERE id = 1")
            b.run("SELECT v FROM x WHERE id = 1")
            a.run("UPDATE x SET v = 11 WHERE id = 1")
            b.run("UPDATE x SET v = 11 WHERE id = 1")
            one_of_two(a.commit(), b.commit(), f"lost update, {level}")
        pair(c, level, both)


@suite.test
def update_after_the_other_was_applied(c):
    """READ COMMITTED looks at the newest row, as in PostgreSQL; REPEATABLE READ may not."""
    for level, expected in ((READ_COMMITTED, None), (REPEATABLE_READ, CONFLICT)):
        def both(a, b):
            equal(b.run("SELECT v FROM x WHERE id = 1"), [10], "the first read")
            a.run("UPDATE x SET v = v + 1 WHERE id = 1")
            equal(a.commit(), None, "the first COMMIT")
            c.settle()
            equal(b.outcome("UPDATE x SET v = v + 1 WHERE id = 1") or b.commit(), expected, f"the second, {level}")
        pair(c, level, both)
        equal(rows(c, 4)[0], (1, 12 if expected is None else 11), "increments that count")


@suite.test
def g_single_read_skew(c):
    def both(a, b):
        equal(b.run("SELECT v FROM x WHERE id = 1"), [10], "the first read")
        a.run("UPDATE x SET v = v + 1")
        equal(a.commit(), None, "the writer")
        c.settle()
        equal(b.run("SELECT v FROM x WHERE id = 2"), [20], "under one snapshot")
        equal(b.commit(), None, "the reader")
    pair(c, REPEATABLE_READ, both)


@suite.test
def g2_write_skew_is_possible(c):
    """What limitations.md warns of: reads are not certified, at no level."""
    def both(a, b):
        equal(a.run("SELECT sum(v) FROM x"), [30], "a's premise")
        equal(b.run("SELECT sum(v) FROM x"), [30], "b's premise")
        a.run("UPDATE x SET v = 0 WHERE id = 1")
        b.run("UPDATE x SET v = 0 WHERE id = 2")
        equal((a.commit(), b.commit()), (None, None), "write skew")
    pair(c, REPEATABLE_READ, both)
    pair(c, READ_COMMITTED, both)


@suite.test
def g2_phantom_is_possible(c):
    def both(a, b):
        equal(a.run("SELECT count(*) FROM x"), [2], "a's premise")
        equal(b.run("SELECT count(*) FROM x"), [2], "b's premise")
        a.run("INSERT INTO x VALUES (3, 30)")
        b.run("INSERT INTO x VALUES (4, 40)")
        equal((a.commit(), b.commit()), (None, None), "two inserts on the same premise")
    pair(c, REPEATABLE_READ, both)


@suite.test
def serializable_is_refused_or_snapshot_isolation(c):
    def both(a, b):
        equal(a.outcome("UPDATE x SET v = 1 WHERE id = 1") or a.commit(), "0A000", "SERIALIZABLE writes")
        b.run("SET LOCAL dadbs.accept_snapshot_isolation = on")
        b.run("UPDATE x SET v = 2 WHERE id = 1")
        equal(b.commit(), None, "accepted as snapshot isolation")
    pair(c, "SERIALIZABLE", both)


@suite.test
def locks_do_not_travel(c):
    def both(a, b):
        equal(a.run("SELECT v FROM x WHERE id = 1 FOR UPDATE"), [10], "a's lock")
        b.connection.cursor().execute("SET LOCAL lock_timeout = '30s'")
        equal(b.run("SELECT v FROM x WHERE id = 1 FOR UPDATE"), [10], "b's lock of the same row, on its member")
        equal((a.commit(), b.commit()), (None, None), "nothing was written")
    pair(c, READ_COMMITTED, both)


@suite.test
def the_row_protects_the_premise(c):
    """The way out that limitations.md names: write the row that the decision rests on."""
    def both(a, b):
        for s in (a, b):
            s.run("UPDATE x SET v = v WHERE id = 1")
            s.run("SELECT sum(v) FROM x")
        a.run("INSERT INTO x VALUES (3, 30)")
        b.run("INSERT INTO x VALUES (4, 40)")
        one_of_two(a.commit(), b.commit(), "both wrote the row that stands for the premise")
    pair(c, REPEATABLE_READ, both)


@suite.test
def references_hold(c):
    c.run(1, "CREATE TABLE parent (id int PRIMARY KEY)")
    c.run(1, "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent)")
    c.run(1, "INSERT INTO parent VALUES (1)")
    c.settle()
    a, b = Session(c, 1, READ_COMMITTED), Session(c, 2, READ_COMMITTED)
    a.run("DELETE FROM parent WHERE id = 1")
    b.run("INSERT INTO child VALUES (1, 1)")
    one_of_two(a.commit(), b.commit(), "a parent deleted, a child inserted")
    a.close()
    b.close()


@suite.test
def members_read_prefixes_of_one_order(c):
    """No long fork: what two readers on two members have seen can be put into one order; and wait_for() makes own writes seen."""
    c.run(1, "CREATE TABLE log (n int PRIMARY KEY)")
    c.settle()
    connections = {i: c.connect(i) for i in c.members()}

    def read(i):
        cursor = connections[i].cursor()
        cursor.execute("SELECT coalesce(array_agg(n), '{}') FROM log")
        return set(cursor.fetchone()[0])
    for n in range(0, 24, 2):
        writers = [psycopg2.connect(**connections[i].get_dsn_parameters()) for i in (1, 2)]
        for k, w in enumerate(writers):
            w.cursor().execute(f"INSERT INTO log VALUES ({n + k})")
        for w in writers:
            w.commit()
            w.close()
        seen = [read(i) for i in c.members()]
        for x in seen:
            for y in seen:
                check(x <= y or y <= x, f"two members saw {x - y} and {y - x} in different orders")
    height = c.value(1, "INSERT INTO log VALUES (1000) RETURNING 1") and c.value(1, "SELECT dadbs.applied_height()")
    for i in (2, 3, 4):
        equal(c.run(i, f"SELECT dadbs.wait_for({height}::bigint, '20 s')", "SELECT count(*) FROM log WHERE n = 1000"), [(1,)],
              "after wait_for")
    for connection in connections.values():
        connection.close()


if __name__ == "__main__":
    suite.main()
