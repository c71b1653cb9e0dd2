"""SIGKILL of backends, workers and whole servers under load: nothing acknowledged is lost, nothing is applied twice."""
import os
import random
import signal
import time

import psycopg2

from harness import CONFLICT, LONG, Suite, Workers, check, equal, eventually, worker_pid

suite = Suite("crash", port=7740)


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

    def finish(self):
        self.workers.join()
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


@suite.test
def server_killed_and_back(c):
    prepare(c)
    load = Load(c, c.members())
    time.sleep(2)
    c.kill(3)
    before = len(load.acknowledged)
    time.sleep(3)
    check(len(load.acknowledged) > before + 10, "the others went on without member 3")
    c.start_member(3)
    time.sleep(3)
    load.finish()


@suite.test
def primary_killed_and_back(c):
    prepare(c)
    primary = 1  # view 0 stays until the view change is built
    load = Load(c, c.members())
    time.sleep(2)
    c.kill(primary)
    time.sleep(2)
    said = c.value(2, "SELECT waiting_for || coalesce(reason, '') FROM dadbs.status")
    check("m1" in said, f"status on member 2 does not name the primary: {said!r}")
    c.start_member(primary)
    c.wait_ready()
    before = len(load.acknowledged)
    eventually(lambda: len(load.acknowledged) > before + 10, 30, "writes go on")
    load.finish()


@suite.test
def each_worker_killed(c):
    for kind in ("capture", "consensus", "apply", "launcher"):
        prepare(c)
        load = Load(c, c.members(), per_member=1)
        time.sleep(1)
        os.kill(worker_pid(c, 2, kind), signal.SIGKILL)
        time.sleep(2)
        load.finish()


@suite.test
def each_worker_terminated(c):
    """SIGTERM ends one worker without a restart of the server: the set comes back, waiting backends get an answer."""
    for kind in ("capture", "consensus", "apply"):
        prepare(c)
        load = Load(c, c.members(), per_member=1)
        time.sleep(1)
        os.kill(worker_pid(c, 2, kind), signal.SIGTERM)
        time.sleep(2)
        load.finish()


@suite.test
def backends_killed_and_terminated(c):
    prepare(c)
    load = Load(c, c.members())
    rng = random.Random(7)
    for k in range(12 if not LONG else 100):
        time.sleep(0.3)
        member = rng.choice(list(c.members()))
        try:
            pids = [r[0] for r in c.run(member, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                                "AND datname = 'shared' AND pid <> pg_backend_pid()")]
        except psycopg2.Error:
            continue
        if pids:
            try:
                os.kill(rng.choice(pids), signal.SIGKILL if k % 4 == 0 else signal.SIGTERM if k % 4 == 1 else signal.SIGINT)
            except ProcessLookupError:
                pass
    load.finish()


@suite.test
def all_killed_at_once(c):
    prepare(c)
    load = Load(c, c.members())
    time.sleep(2)
    for i in c.members():
        c.kill(i)
    for i in c.members():
        c.start_member(i)
    time.sleep(2)
    load.finish()


@suite.test
def cut_off_and_healed(c):
    prepare(c)
    load = Load(c, [1, 2, 3])
    c.cut(4)
    time.sleep(2)
    before = len(load.acknowledged)
    time.sleep(2)
    check(len(load.acknowledged) > before, "three go on without the fourth")
    state = None
    try:
        c.run(4, "SET dadbs.commit_timeout = '3s'", "INSERT INTO load VALUES ('cut off', 4)")
    except psycopg2.Error as e:
        state = e.pgcode
        load.unknown.add("cut off")
    check(state in ("DA001", "DA002", "40003"), f"a write on a member that is cut off: {state}")
    c.value(4, "SELECT count(*) FROM load")
    c.heal(4)
    load.finish()


if __name__ == "__main__":
    suite.main()
