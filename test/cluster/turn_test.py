"""The turn of local backends: many at once, cancelled, terminated, timed out; replay takes over what they let go."""
import random
import time

import psycopg2
import psycopg2.extensions

from harness import CONFLICT, UNKNOWN, Suite, Workers, check, equal, eventually, sqlstate

suite = Suite("turn", members=1, port=7760)


class Writers:
    """Insert a row and add to a counter; know what was acknowledged, refused, and left open."""

    def __init__(self, c, count, prepare=()):
        self.c = c
        self.prepare = prepare
        self.acknowledged, self.refused, self.open = set(), set(), {}
        self.states = {}
        self.workers = Workers()
        for k in range(count):
            self.workers.start(self.write, k)

    def write(self, stop, k):
        rng = random.Random(k)
        connection = None
        number = 0
        while not stop.is_set():
            number += 1
            name = f"{k}-{number}-{time.monotonic_ns()}"
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(1, autocommit=False)
                    for statement in self.prepare:
                        connection.cursor().execute(statement)
                    connection.commit()
                cursor = connection.cursor()
                cursor.execute("INSERT INTO named VALUES (%s, %s)", (name, k))
                cursor.execute("UPDATE counted SET n = n + 1 WHERE id = %s", (rng.randrange(1, 21),))
                self.open[name] = True
                connection.commit()
                del self.open[name]
                self.acknowledged.add(name)
            except psycopg2.Error as e:
                self.states[e.pgcode] = self.states.get(e.pgcode, 0) + 1
                if e.pgcode is not None and e.pgcode != UNKNOWN and not connection.closed and name in self.open:
                    del self.open[name]
                    self.refused.add(name)
                if connection is not None and not connection.closed:
                    connection.rollback()
                    # A cancel that found COMMIT before its command ran leaves an aborted block, and psycopg2 believes that
                    # COMMIT has ended it: as with any PostgreSQL.
                    if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                        connection.close()

    def finish(self, commits=0):
        eventually(lambda: self.workers.errors or len(self.acknowledged) > commits, 60, f"{commits} commits")
        self.workers.join()
        self.c.wait_ready()
        held = lambda: self.c.value(1, "SELECT count(*) FROM dadbs.stat_activity")
        eventually(lambda: held() == 0, 60, "nobody is held any more")
        stored = {r[0] for r in self.c.run(1, "SELECT name FROM named")}
        check(self.acknowledged <= stored, f"{len(self.acknowledged - stored)} acknowledged rows are missing")
        check(not stored & self.refused, f"refused but there: {sorted(stored & self.refused)[:3]}")
        check(stored - self.acknowledged <= set(self.open), "rows that nobody knows")
        equal(self.c.value(1, "SELECT sum(n) FROM counted"), len(stored), "increments")
        return stored


def prepare(c):
    if c.value(1, "SELECT to_regclass('named') IS NULL"):
        c.run(1, "CREATE TABLE named (name text PRIMARY KEY, writer int)")
        c.run(1, "CREATE TABLE counted (id int PRIMARY KEY, n int NOT NULL)")
        c.run(1, "INSERT INTO counted SELECT g, 0 FROM generate_series(1, 20) g")
    c.run(1, "DELETE FROM named")
    c.run(1, "UPDATE counted SET n = 0")


def disturb(c, seconds, statement):
    connection = c.connect(1)
    cursor = connection.cursor()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        cursor.execute(statement)
        time.sleep(0.03)
    connection.close()


@suite.test
def many_writers(c):
    prepare(c)
    w = Writers(c, 16)
    time.sleep(4)
    w.finish(100)
    equal(w.states, {}, "errors of undisturbed writers")


@suite.test
def cancelled_at_random(c):
    prepare(c)
    w = Writers(c, 8)
    disturb(c, 5, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                  "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2")
    w.finish()
    # 40001: who got the row lock of one that left, before its replay
    check(set(w.states) <= {"57014", UNKNOWN, CONFLICT}, f"SQLSTATEs {w.states}")


@suite.test
def terminated_at_random(c):
    prepare(c)
    w = Writers(c, 8)
    disturb(c, 5, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                  "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
    w.finish()
    check(set(w.states) <= {"57P01", UNKNOWN, CONFLICT, None}, f"SQLSTATEs {w.states}")


@suite.test
def replayed_instead(c):
    """session_replication_role keeps a transaction off the fast path: the same rows, by replay."""
    prepare(c)
    w = Writers(c, 6, prepare=["SET session_replication_role = replica"])
    time.sleep(3)
    w.finish(20)
    check(set(w.states) <= {CONFLICT}, f"SQLSTATEs {w.states}")


@suite.test
def replay_of_an_orphan_is_rejected(c):
    c.run(1, "CREATE TABLE a (id int PRIMARY KEY)")
    c.run(1, "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)")
    state = sqlstate(lambda: c.run(1, "SET session_replication_role = replica", "INSERT INTO b VALUES (1, 1)"))
    equal(state, "23503", "the constraint's own SQLSTATE")
    equal(c.value(1, "SELECT count(*) FROM b"), 0, "orphans")


@suite.test
def worker_sets_come_and_go(c):
    """The apply worker ends under load, again and again: turns are taken back, outcomes stay true."""
    prepare(c)
    w = Writers(c, 8)
    for _ in range(4):
        time.sleep(1)
        c.run(1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dadbs apply'")
        c.wait_ready()
    time.sleep(1)
    w.finish(50)


@suite.test
def reads_wait_for_the_replay(c):
    """Local commits are asynchronous: after a crash no read is answered before the journal has been replayed."""
    c.run(1, "CREATE TABLE seen (id int PRIMARY KEY)")
    connection = c.connect(1)
    for k in range(60):
        connection.cursor().execute(f"INSERT INTO seen VALUES ({k})")
    c.kill(1)
    c.start_member(1)
    equal(c.value(1, "SELECT count(*) FROM seen"), 60, "rows seen by the first read after a crash")
    equal(c.run(1, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM seen")[0][0], 60, "under one snapshot")


if __name__ == "__main__":
    suite.main()
