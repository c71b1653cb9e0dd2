"""Writers that know what was acknowledged to them, for tests in which servers and workers fail."""
import random
import time

import psycopg2

from harness import CONFLICT, Workers, check, equal


class Load:
    """Writers on the given members; knows what was acknowledged and what is open (40003 or a lost connection)."""

    def __init__(self, c, members, per_member=2):
        self.c = c
        self.acknowledged, self.unknown = set(), set()
        self.workers = Workers()
        for m in members:
            for k in range(per_member):
                self.workers.start(self.write, m, k)

    def write(self, stop, member, k):
        rng = random.Random(member * 100 + k)
        connection = None
        while not stop.is_set():
            name = f"{member}-{k}-{time.monotonic_ns()}"
            try:
                if connection is None or connection.closed:
                    connection = self.c.connect(member, autocommit=False)
                cursor = connection.cursor()
                cursor.execute("INSERT INTO load VALUES (%s, %s)", (name, member))
                cursor.execute("UPDATE counter SET n = n + 1 WHERE id = %s", (rng.randrange(1, 41),))
                # From here on a failure may hide a commit.
                self.unknown.add(name)
                connection.commit()
                self.unknown.discard(name)
                self.acknowledged.add(name)
            except psycopg2.Error as e:
                if e.pgcode in (CONFLICT, "40P01"):
                    self.unknown.discard(name)
                if connection is not None and not connection.closed:
                    try:
                        connection.rollback()
                    except psycopg2.Error:
                        connection.close()
                else:
                    connection = None
                    time.sleep(0.05)

    def stop(self):
        self.workers.join()

    def finish(self):
        self.stop()
        self.c.wait_ready()
        self.c.settle(60)
        for i in self.c.members():
            stored = {r[0] for r in self.c.run(i, "SELECT name FROM load")}
            lost = self.acknowledged - stored
            check(not lost, f"member {i} lost {len(lost)} acknowledged transactions, e.g. {sorted(lost)[:3]}")
            foreign = stored - self.acknowledged - self.unknown
            check(not foreign, f"member {i} has rows that were refused: {sorted(foreign)[:3]}")
            equal(self.c.value(i, "SELECT sum(n) FROM counter"), len(stored), f"increments on member {i}")


def prepare(c):
    if c.value(1, "SELECT to_regclass('load') IS NULL"):
        c.run(1, "CREATE TABLE load (name text PRIMARY KEY, origin int)", "CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL)",
              "INSERT INTO counter SELECT g, 0 FROM generate_series(1, 40) g")
        c.settle()
    c.run(1, "TRUNCATE load")
    c.run(1, "UPDATE counter SET n = 0")
    c.settle()
