"""Hazards under load and of a member in trouble (docs/testing.md): who dooms whom, who makes progress, what is retried."""
import os
import re
import signal
import threading
import time

import psycopg2

from harness import CONFLICT, LONG, Suite, Workers, check, equal, eventually, sqlstate, worker_pid
from hazards import PATIENCE, InBackground, execute, one_wins, race, same_everywhere, standing_still
from tamper import heap_file

suite = Suite("hazards_load", port=7940)


class Repeated:
    """Autocommit statements of one client until stopped, each retried after 40001; counts what became of them."""

    def __init__(self, workers, c, member, make, setup=(), allowed=(CONFLICT,)):
        self.committed = self.lost = 0
        self.worst_streak = 0

        def client(stop):
            session = c.connect(member)
            execute(session, *setup)
            number = streak = 0
            while not stop.is_set():
                number += 1
                try:
                    statements = make(number)
                    execute(session, *([statements] if isinstance(statements, str) else statements))
                    self.committed += 1
                    streak = 0
                except psycopg2.Error as e:
                    state = CONFLICT if c.lost_its_way(session) else e.pgcode
                    check(state in allowed, f"unexpected on member {member}: {state} {e}")
                    self.lost += state == CONFLICT
                    streak += state == CONFLICT
                    self.worst_streak = max(self.worst_streak, streak)
                    if not session.closed and session.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                        execute(session, "ROLLBACK")
                    if session.closed:
                        session = c.connect(member)
                        execute(session, *setup)
            session.close()
        workers.start(client)


def load(workers, seconds, *wanted):
    """For so many seconds, and on a slow machine for longer: until each of the clients has the commits that are wanted (clients, commits)."""
    threading.Event().wait(seconds)
    deadline = time.monotonic() + PATIENCE
    try:
        while not workers.errors and any(client.committed < commits for clients, commits in wanted for client in clients):
            check(time.monotonic() < deadline, f"commits of each client: {[[client.committed for client in clients] for clients, _ in wanted]}, "
                                               f"wanted {[commits for _, commits in wanted]}")
            time.sleep(0.05)
    finally:
        workers.join()


@suite.test
def h29_words_doom_nobody(c):
    """COMMENT, GRANT, ALTER TABLE of statistics in each block, and balance updates of a parent, fail no writer and no child."""
    c.run(1, "CREATE ROLE gil", "CREATE TABLE p29 (id int PRIMARY KEY, balance int)", "CREATE TABLE c29 (id text PRIMARY KEY, p int REFERENCES p29)",
          "INSERT INTO p29 SELECT i, 0 FROM generate_series(1, 5) i")
    c.settle()
    # One writer that is open across each kind of word, on each member.
    for word in ("COMMENT ON TABLE c29 IS 'x'", "COMMENT ON COLUMN c29.p IS 'x'", "GRANT SELECT ON c29 TO gil", "REVOKE SELECT ON c29 FROM gil",
                 "CREATE TABLE IF NOT EXISTS c29 (id int)", "CREATE INDEX IF NOT EXISTS c29_pkey ON c29 (id)",
                 "CREATE FUNCTION f29() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f29()", "CREATE TABLE t29 (id int PRIMARY KEY)", "DROP TABLE t29"):
        sessions = [c.connect(i, autocommit=False) for i in (2, 3)]
        for k, session in enumerate(sessions):
            execute(session, f"INSERT INTO c29 VALUES ('{k} ' || md5($${word}$$), 1)")
        c.run(4, word)
        c.run(1, "UPDATE p29 SET balance = balance + 1 WHERE id = 1")
        c.settle()
        for session in sessions:
            equal(sqlstate(session.commit), None, f"a writer across {word} and a balance update of its parent")
            session.close()
    workers = Workers()
    words = Repeated(workers, c, 4, lambda n: f"COMMENT ON TABLE {('c29', 'p29')[n % 2]} IS 'comment {n}'")
    balance = Repeated(workers, c, 1, lambda n: f"UPDATE p29 SET balance = balance + 1 WHERE id = {1 + n % 5}")
    children = [Repeated(workers, c, i, lambda n, i=i: f"INSERT INTO c29 VALUES ('{i}-{n}', {1 + n % 5})") for i in (2, 3)]
    load(workers, 3, ([words], 11), ([balance], 21), (children, 21))
    for child in children:
        equal(child.lost, 0, "children that were lost against words and balances")
    equal(balance.lost, 0, "balance updates that were lost")
    c.run(1, "REVOKE ALL ON c29 FROM gil", "DROP ROLE gil")


@suite.test
def h29_slow_member(c):
    """A member that applies late hands over with old bases: they stay in the window, or it says that it lags."""
    c.run(1, "CREATE TABLE w29 (id text PRIMARY KEY, v int)", "INSERT INTO w29 SELECT 'own ' || i, 0 FROM generate_series(1, 20) i")
    c.settle()
    with standing_still(c, 4, "apply"):
        writer = c.connect(1)
        for k in range(300):
            execute(writer, f"INSERT INTO w29 VALUES ('fast {k}', 0)")
        lag = c.value(1, "SELECT height FROM dadbs.status") - c.value(4, "SELECT dadbs.applied_height()")
        check(lag > 250, f"member 4 lags {lag} blocks")
        clients = [InBackground(lambda k=k: c.run(4, f"UPDATE w29 SET v = v + 1 WHERE id = 'own {k + 1}'")) for k in range(5)]
        eventually(lambda: c.value(4, "SELECT count(*) FROM dadbs.stat_activity WHERE state = 'ordering'") == 5, 20, "handed over with old bases")
        for k in range(20):
            execute(writer, f"INSERT INTO w29 VALUES ('later {k}', 0)")
        loser = InBackground(lambda: c.run(4, "INSERT INTO w29 VALUES ('fast 299', 1)"))
        writer.close()
    for client in clients:
        equal(client.outcome(), None, f"a writer of rows of its own on the slow member: {client.text}")
    equal(loser.outcome() in (CONFLICT, "23505"), True, f"one that meets what it has not seen: {loser.error}")
    # Beyond the limit it refuses before it is handed over, long before the window ends.
    c.run(4, "ALTER SYSTEM SET dadbs.max_apply_lag = 16", "SELECT pg_reload_conf()")
    try:
        eventually(lambda: c.value(4, "SHOW dadbs.max_apply_lag") == "16", 20, "the setting")
        with standing_still(c, 4, "apply"):
            writer = c.connect(2)
            for k in range(60):
                execute(writer, f"INSERT INTO w29 VALUES ('more {k}', 0)")
            writer.close()
            eventually(lambda: c.value(4, "SELECT NOT can_write FROM dadbs.status"), 20, "it refuses writes")
            check(sqlstate(lambda: c.run(4, "INSERT INTO w29 VALUES ('refused', 0)")) in ("DA001", "DA002"), "a write on a member that lags")
            check(c.value(4, "SELECT coalesce(waiting_for, '') || coalesce(reason, '') FROM dadbs.status") != "", "status says why")
    finally:
        c.run(4, "ALTER SYSTEM RESET dadbs.max_apply_lag", "SELECT pg_reload_conf()")
    c.wait_ready()
    same_everywhere(c, "SELECT sum(v) FROM w29", [(5,)], "rows of the slow member")


@suite.test
def h30_standby_that_is_down(c):
    """A synchronous standby that is away stops neither apply nor the members: what COMMIT waits for is in limitations.md."""
    c.run(1, "CREATE TABLE s30 (id text PRIMARY KEY, v int)")
    c.settle()
    c.run(3, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        eventually(lambda: c.value(3, "SHOW synchronous_standby_names") == "nobody", 20, "the setting")
        for i in c.members():
            for level in ("on", "remote_apply", "local"):
                commit = InBackground(lambda i=i, level=level: c.run(
                    i, f"SET synchronous_commit = {level}", f"INSERT INTO s30 VALUES ('{i} {level}', 0)", f"UPDATE s30 SET v = {i} WHERE id LIKE '%{level}'"))
                check(commit.outcome() in (None, CONFLICT), f"COMMIT on member {i}: {commit.text}")
                c.settle()
        c.run(3, "ALTER TABLE s30 ADD COLUMN w int")
        c.run(3, "SET session_replication_role = replica", "UPDATE s30 SET w = 1")  # replayed
        same_everywhere(c, "SELECT count(*), sum(w) FROM s30", [(12, 12)], "rows")
        workers = Workers()
        writers = [Repeated(workers, c, i, lambda n, i=i: f"INSERT INTO s30 VALUES ('{i}-{n}', 0)") for i in c.members()]
        load(workers, 2, (writers, 11))
        c.settle()
        equal(c.value(3, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 0, "processes that wait for the standby")
    finally:
        c.run(3, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    eventually(lambda: c.value(3, "SHOW synchronous_standby_names") == "", 20, "the setting")


@suite.test
def h40_retried_for_a_local_reason(c):
    """What one member can't execute for a reason of its own is retried until it can: no verdict, no conflict with itself."""
    c.run(1, "CREATE TABLE r40 (id int PRIMARY KEY, v int, u int UNIQUE)", "CREATE TABLE other40 (id int PRIMARY KEY)",
          "INSERT INTO r40 SELECT i, 0, i FROM generate_series(1, 20) i")
    c.settle()
    path = heap_file(c, 3, "r40")
    c.stop_member(3)
    os.chmod(path, 0)
    try:
        c.start_member(3)
        c.wait_ready()
        c.run(1, "INSERT INTO other40 VALUES (1)")
        c.run(2, "UPDATE r40 SET v = v + 1, u = u + 100 WHERE id = 1")
        height = c.value(2, "SELECT dadbs.applied_height()")
        eventually(lambda: re.search(r"of member m\d at height .* is retried", c.value(3, "SELECT coalesce(reason, '') FROM dadbs.status")), 20, "status says whose is retried")
        reason = c.value(3, "SELECT reason FROM dadbs.status")
        name = c.value(2, f"SELECT id FROM dadbs.transactions WHERE height = {height}")
        for part in (name, f"height {height}, index 0", "Permission denied", "42501", "Remove the cause"):
            check(part in reason, f"status does not say {part!r}: {reason}")
        eventually(lambda: "It is never skipped" in c.log(3), 20, "the log says so, too")
        # The others go on, on the same rows too; it reads what it has, its own writers wait.
        for i in (1, 2, 4):
            c.run(i, f"UPDATE r40 SET v = v + 1 WHERE id = {i}", f"INSERT INTO other40 VALUES ({10 + i})")
            eventually(lambda i=i: c.value(1, f"SELECT count(*) FROM other40 WHERE id = {10 + i}") == 1, 20, "the others go on")
        equal(c.value(3, "SELECT count(*) FROM other40"), 1, "rows that it reads meanwhile")
        waiting = InBackground(lambda: c.run(3, "INSERT INTO other40 VALUES (50)"))
        threading.Event().wait(2)  # attempts of its apply worker
        equal(c.value(1, "SELECT count(*) FROM dadbs.transactions WHERE verdict <> 'committed' AND height >= " + str(height)), 0, "losers")
    finally:
        os.chmod(path, 0o600)
    equal(waiting.outcome(), None, f"COMMIT on the member that was stuck: {waiting.text}")
    eventually(lambda: not c.value(3, "SELECT reason FROM dadbs.status"), 30, "it goes on by itself")
    c.run(3, "UPDATE r40 SET v = v + 1 WHERE id = 1")
    same_everywhere(c, "SELECT v FROM r40 WHERE id IN (1, 2, 4) ORDER BY id", [(3,), (1,), (1,)], "rows")


def cancel_apply(stop, c, member, every):
    session = c.connect(member)
    while not stop.wait(every):
        execute(session, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dadbs apply'")
    session.close()


def ended_by_cancels(c, member):
    return [line for line in c.log(member).splitlines() if "starting the workers again" in line and "canceling" in line]


@suite.test
def h40_cancelled_again_and_again(c):
    """The apply worker of one member is cancelled all the time, under writers of the same rows everywhere: no cancel ends it."""
    c.run(1, "CREATE TABLE k40 (id int PRIMARY KEY, v int)", "INSERT INTO k40 SELECT i, 0 FROM generate_series(1, 10) i",
          "CREATE TABLE n40 (id text PRIMARY KEY)")
    c.settle()
    workers = Workers()
    writers = [Repeated(workers, c, i, lambda n, i=i: ["BEGIN", f"UPDATE k40 SET v = v + 1 WHERE id = {1 + n % 10}", f"INSERT INTO n40 VALUES ('{i}-{n}')",
                                                       "COMMIT"]) for i in c.members()]

    workers.start(cancel_apply, c, 3, 0.01)
    # One that takes longer than the time between two cancels is cancelled at every attempt, also when it goes alone.
    many = 20000
    workers.start(lambda stop: (stop.wait(1), c.run(1, f"INSERT INTO n40 SELECT 'many ' || i FROM generate_series(1, {many}) i")))
    load(workers, 4, (writers[:2] + writers[3:], 14))  # member 3 may get nowhere for as long
    committed = sum(w.committed for w in writers)
    same_everywhere(c, "SELECT (SELECT sum(v) FROM k40), (SELECT count(*) FROM n40)", [(committed, committed + many)], "rows")
    equal(ended_by_cancels(c, 3), [], "workers that were ended by a cancel")


@suite.test
def h40_cancelled_while_it_starts(c):
    workers = Workers()
    workers.start(cancel_apply, c, 3, 0.05)
    try:
        for k in range(3):
            before = worker_pid(c, 3, "apply")
            os.kill(before, signal.SIGTERM)
            eventually(lambda: worker_pid(c, 3, "apply") not in (None, before), PATIENCE, "another apply worker")
            eventually(lambda: c.value(3, "SELECT can_write FROM dadbs.status"), PATIENCE, "the member takes writes")
            c.run(3, f"INSERT INTO n40 VALUES ('start {k}')")
    finally:
        workers.join()
    same_everywhere(c, "SELECT count(*) FROM n40 WHERE id ^@ 'start'", [(3,)], "rows")
    equal(ended_by_cancels(c, 3), [], "workers that were ended by a cancel")


@suite.test
def h43_always_rejected(c):
    """One member orders, all the time, what is rejected on others' hot rows: it enters no index, so the others go on."""
    c.run(1, "CREATE TABLE h43 (id int PRIMARY KEY, v int)", "CREATE TABLE o43 (id int PRIMARY KEY, p int REFERENCES h43)", "INSERT INTO h43 VALUES (1, 0)")
    c.settle()
    # Exactly: a rejected position between base and position of an honest writer is no conflict.
    session = c.connect(2, autocommit=False)
    execute(session, "SELECT * FROM h43")
    with standing_still(c, 2, "apply"):
        execute(session, "UPDATE h43 SET v = v + 1 WHERE id = 1")
        equal(sqlstate(lambda: c.run(4, "SET session_replication_role = replica", "BEGIN", "UPDATE h43 SET v = 99 WHERE id = 1",
                                     "INSERT INTO o43 VALUES (1, 77)", "COMMIT")), "23503", "the always rejected one")
        commit = InBackground(session.commit)
        eventually(lambda: c.value(2, "SELECT count(*) FROM dadbs.stat_activity WHERE state = 'ordering'") == 1, 20, "handed over with a base before it")
    equal(commit.outcome(), None, f"a writer across a rejected position: {commit.text}")
    session.close()
    workers = Workers()
    hostile = Repeated(workers, c, 4, lambda n: ["BEGIN", "UPDATE h43 SET v = v + 100000 WHERE id = 1", f"INSERT INTO o43 VALUES ({n}, 77)", "COMMIT"],
                       setup=["SET session_replication_role = replica"], allowed=(CONFLICT, "23503"))
    honest = [Repeated(workers, c, i, lambda n: "UPDATE h43 SET v = v + 1 WHERE id = 1") for i in (1, 2, 3)]
    load(workers, 5, (honest, 10))
    equal(hostile.committed, 0, "orphans")
    same_everywhere(c, "SELECT v FROM h43", [(1 + sum(h.committed for h in honest),)], "the hot row")


@suite.test
def h43_functions_all_the_time(c):
    """CREATE FUNCTION in each block fails nobody; one that a table's CHECK uses fails transactions, not progress."""
    c.run(1, "CREATE FUNCTION good43(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 >= 0; END'",
          "CREATE TABLE plain43 (id int PRIMARY KEY, v int)", "CREATE TABLE checked43 (id int PRIMARY KEY, v int CHECK (good43(v)))",
          "INSERT INTO plain43 SELECT i, 0 FROM generate_series(1, 3) i", "SET ROLE dadbs_owner", "INSERT INTO checked43 SELECT i, 0 FROM generate_series(1, 3) i")
    c.settle()
    workers = Workers()
    makers = [Repeated(workers, c, 4, lambda n: f"CREATE OR REPLACE FUNCTION free43() RETURNS int LANGUAGE sql AS 'SELECT {n}'"),
              Repeated(workers, c, 4, lambda n: f"CREATE OR REPLACE FUNCTION good43(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS "
                                                f"'BEGIN RETURN $1 >= -{n}; END'")]
    plain = [Repeated(workers, c, i, lambda n, i=i: f"UPDATE plain43 SET v = v + 1 WHERE id = {i}") for i in (1, 2, 3)]
    checked = [Repeated(workers, c, i, lambda n, i=i: f"UPDATE checked43 SET v = v + 1 WHERE id = {i}", setup=["SET ROLE dadbs_owner"]) for i in (1, 2, 3)]
    load(workers, 5, (makers, 11), (checked, 5))
    print(f"# functions {[m.committed for m in makers]}, plain {[p.committed for p in plain]}, checked {[(k.committed, k.lost, k.worst_streak) for k in checked]}",
          flush=True)
    equal([p.lost for p in plain], [0, 0, 0], "writers of a table that no function concerns")
    for k in (1, 2, 3):
        same_everywhere(c, f"SELECT (SELECT v FROM plain43 WHERE id = {k}), (SELECT v FROM checked43 WHERE id = {k})",
                        [(plain[k - 1].committed, checked[k - 1].committed)], "what was acknowledged")


@suite.test
def h46_bulk_load(c):
    """The base of a bulk load is taken when it has been decoded, not when its COMMIT began: it passes the first time."""
    rows = 1_100_000 if LONG else 60_000
    c.run(1, "CREATE TABLE b46 (id int PRIMARY KEY, v text)", "CREATE TABLE small46 (id text PRIMARY KEY)")
    c.settle()
    session = c.connect(2, autocommit=False)
    execute(session, f"INSERT INTO b46 SELECT i, md5(i::text) FROM generate_series(1, {rows}) i")
    workers = Workers()
    small = [Repeated(workers, c, i, lambda n, i=i: f"INSERT INTO small46 VALUES ('{i}-{n}')") for i in (1, 3)]
    # Decoding takes as long as it likes: here until others have moved on.
    with standing_still(c, 2, "capture"):
        commit = InBackground(session.commit)
        eventually(lambda: c.value(2, "SELECT count(*) FROM dadbs.stat_activity WHERE state = 'capturing'") == 1, 20, "the load waits for capture")
        before = c.value(2, "SELECT dadbs.applied_height()")
        eventually(lambda: c.value(2, "SELECT dadbs.applied_height()") > before + 30, PATIENCE, "the others go on")
        after = c.value(2, "SELECT dadbs.applied_height()")
    equal(commit.outcome(), None, f"the load: {commit.text}")
    workers.join()
    equal(sum(s.lost for s in small), 0, "small ones that were lost against the load")
    base = c.value(2, f"SELECT base_height FROM dadbs.transactions WHERE change_count = {rows}")
    check(base >= after, f"base {base}, and the members stood at {before} when COMMIT began, at {after} when it was decoded")
    session.close()
    same_everywhere(c, "SELECT count(*) FROM b46", [(rows,)], "rows of the load")
    one_wins(race(c, ["UPDATE b46 SET v = 'x' WHERE id <= 1000"], ["UPDATE b46 SET v = 'y' WHERE id = 1000"]), "a load against one row of it")


if __name__ == "__main__":
    suite.main()
