"""SIGKILL of backends, workers and whole servers under load: nothing acknowledged is lost, nothing is applied twice."""
import os
import random
import signal
import time

import psycopg2

from harness import CONFLICT, LONG, Suite, Workers, check, equal, eventually, worker_pid
from load import Load, prepare

suite = Suite("crash", port=7740)


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
    primary = c.primary()
    load = Load(c, c.members())
    time.sleep(2)
    c.kill(primary)
    time.sleep(2)
    check(c.primary(but=primary) != primary, "the others have another primary")
    before = len(load.acknowledged)
    eventually(lambda: len(load.acknowledged) > before + 10, 30, "writes go on without it")
    c.start_member(primary)
    before = len(load.acknowledged)
    eventually(lambda: len(load.acknowledged) > before + 10, 30, "writes go on with it")
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
