"""SIGKILL of backends, workers and whole servers under load: nothing acknowledged is lost, nothing is applied twice."""
import os
import random
import signal
import time

import psycopg2

from harness import LONG, Suite, check, eventually, worker_pid
from load import Load, prepare

suite = Suite("crash", port=7740)


def go_on(load, what, commits=10):
    """The clients get that many more answers."""
    before = len(load.acknowledged)
    eventually(lambda: load.workers.errors or len(load.acknowledged) > before + commits, 60, f"writes go on {what}")


@suite.test
def server_killed_and_back(c):
    prepare(c)
    load = Load(c, c.members())
    go_on(load, "on all members", 40)
    c.kill(3)
    go_on(load, "without member 3", 40)
    c.start_member(3)
    go_on(load, "with member 3")
    load.finish()


@suite.test
def primary_killed_and_back(c):
    prepare(c)
    primary = c.primary()
    load = Load(c, c.members())
    go_on(load, "on all members", 40)
    c.kill(primary)
    eventually(lambda: c.primary(but=primary) != primary, 30, "the others have another primary")
    go_on(load, "without it")
    c.start_member(primary)
    go_on(load, "with it")
    load.finish()


def end_each_worker(c, kinds, number):
    """Under one load, one after the other: the set comes back each time, with another process of this kind, and takes writes."""
    prepare(c)
    load = Load(c, c.members(), per_member=1)
    for kind in kinds:
        go_on(load, f"before {kind}")
        before = eventually(lambda: worker_pid(c, 2, kind), 60, f"a {kind} worker")
        os.kill(before, number)
        eventually(lambda: worker_pid(c, 2, kind) not in (None, before), 60, f"another {kind} worker")
        c.wait_ready()
        go_on(load, f"after {kind}")
    load.finish()


@suite.test
def each_worker_killed(c):
    end_each_worker(c, ("capture", "consensus", "apply", "launcher"), signal.SIGKILL)


@suite.test
def each_worker_terminated(c):
    """SIGTERM ends one worker without a restart of the server: the set comes back, waiting backends get an answer."""
    end_each_worker(c, ("capture", "consensus", "apply"), signal.SIGTERM)


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
    go_on(load, "on all members", 40)
    for i in c.members():
        c.kill(i)
    for i in c.members():
        c.start_member(i)
    go_on(load, "on all members again")
    load.finish()


@suite.test
def ids_that_clients_saw_are_not_given_again(c):
    """Of a lost transaction nothing has reached the WAL: PostgreSQL alone would give its id to the next one, which commits."""
    c.run(1, "CREATE TABLE seen (xid text)")
    c.settle()
    lost = []
    for k in range(2):
        sessions = [c.connect(2, autocommit=False) for _ in range(4)]
        for session in sessions:
            with session.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()::text")
                lost.append(cursor.fetchone()[0])
        with sessions[0].cursor() as cursor:
            cursor.execute("INSERT INTO seen VALUES ('lost')")
        c.kill(2)
        c.start_member(2)
        c.wait_ready()
        later = [c.run(2, "INSERT INTO seen VALUES (pg_current_xact_id()::text) RETURNING xid")[0][0] for _ in range(10)]
        check(max(map(int, lost)) < min(map(int, later)), f"given again after crash {k + 1}: {sorted(set(lost) & set(later)) or (lost, later)}")
    c.settle()
    told = {xid: c.value(1, f"SELECT dadbs.transaction_status('m2', '{xid}')") for xid in lost}
    check(set(told.values()) == {"unknown"}, f"what is said of lost transactions: {told}")
    check(c.value(1, f"SELECT dadbs.transaction_status('m2', '{later[0]}')") == "committed", "what is said of another one")


@suite.test
def cut_off_and_healed(c):
    prepare(c)
    load = Load(c, [1, 2, 3])
    c.cut(4)
    go_on(load, "without the fourth", 40)
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
