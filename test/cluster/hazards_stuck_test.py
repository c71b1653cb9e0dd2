"""Hazards that would leave somebody waiting for ever, or tell a client what is not so; numbers as in docs/testing.md.

Every wait here has a limit; what a client was told is compared with the rows and with dadbs.transaction_status().
"""
import re
import time
from collections import Counter

import psycopg2

from clients import (LOST, Background, await_applied, commit_in_background, end_worker, everywhere, paused, refused, transaction)
from harness import CONFLICT, LONG, UNKNOWN, Failure, Suite, Workers, check, equal, eventually, sqlstate
from wire import Wire, WireError, letters, rows, sqlstates, tags

# So that a hundred thousand transactions make autovacuum insist.
WRAPAROUND = ("autovacuum_freeze_max_age = 100000", "autovacuum_naptime = 1s") if LONG else ()
suite = Suite("hazards_stuck", port=7920, confs=("max_prepared_transactions = 5", *WRAPAROUND))

# The watcher ends a session that does not let go after two seconds; the rest is for a loaded machine.
SOON = 12


@suite.test
def h20_doomed_by_one_that_is_rejected(c):
    """R takes T's row away at R's position and is then rejected: T is committed, and its client reads COMMIT."""
    c.run(1, "CREATE TABLE hot (id int PRIMARY KEY, n int)", "CREATE TABLE soft (id int PRIMARY KEY, v text)",
          "CREATE UNIQUE INDEX ON soft (v) WHERE v <> ''", "INSERT INTO hot SELECT i, 0 FROM generate_series(1, 5) i")
    c.settle()
    rejected = "SELECT count(*) FROM dadbs.transactions WHERE verdict = 'rejected' AND origin = 'm2'"
    before = c.value(3, rejected)
    with paused(c, 1), paused(c, 2):
        r = c.connect(2, autocommit=False)
        r.cursor().execute("UPDATE hot SET n = n + 10 WHERE id = 1; INSERT INTO soft VALUES (2, 'taken')")
        c.run(3, "INSERT INTO soft VALUES (1, 'taken')")
        r_commit = commit_in_background(r)
        eventually(lambda: c.value(3, rejected) > before, SOON, "R is ordered, and rejected")
        t = c.connect(1, autocommit=False)
        t.cursor().execute("UPDATE hot SET n = n + 100 WHERE id = 1")
        t_commit = commit_in_background(t)
        await_applied(c, 3, "SELECT n = 100 FROM hot WHERE id = 1", "T is committed")
        check(t_commit.waits() and r_commit.waits(), "somebody was answered before its position was applied")
    equal(t_commit.result(SOON), None, "T")
    equal(r_commit.result(SOON), "23505", "R")
    r.close()
    t.close()
    everywhere(c, "SELECT n FROM hot WHERE id = 1", [(100,)], "hot row")


@suite.test
def h20_hot_rows_are_never_unknown(c):
    """Five rows, all members: losers read 40001, which they retry; nobody reads 40003, and nothing is lost or done twice."""
    committed, outcomes, workers = Counter(), Counter(), Workers()
    start = c.value(1, "SELECT sum(n) FROM hot")

    def client(stop, member, k):
        connection = c.connect(member)
        with connection.cursor() as cursor:
            while not stop.is_set():
                state = c.outcome(connection, lambda: cursor.execute(f"UPDATE hot SET n = n + 1 WHERE id = {1 + k % 5}"))
                committed[state is None] += 1
                outcomes[state] += 1
        connection.close()
    for member in c.members():
        for k in range(3):
            workers.start(client, member, k)
    time.sleep(20 if LONG else 3)
    eventually(lambda: workers.errors or outcomes[None] > 20, 60, "commits")
    workers.join()
    check(set(outcomes) <= {None, CONFLICT}, f"outcomes {outcomes}")
    check(outcomes[None] > 20, f"outcomes {outcomes}")
    everywhere(c, "SELECT sum(n) FROM hot", [(start + committed[True],)], "increments")


def told_truly(c, call, table, name):
    """What transaction_status() says and whether the row is there, on every member."""
    c.settle()
    for i in c.members():
        status = c.value(i, f"SELECT dadbs.transaction_status({call})")
        there = c.value(i, f"SELECT count(*) FROM {table} WHERE name = '{name}'") == 1
        check(status == "committed" if there else status in ("aborted", "conflict", "rejected"), f"member {i}: {status}, row there: {there}")


def ordered_by_nobody(c, name):
    """COMMIT of a row on member 2 whose batch reaches nobody, although its links seem to be there; returns the transaction's name."""
    others = [i for i in c.members() if i != 2]
    for _ in range(5):
        with transaction(c, 2, f"INSERT INTO lost VALUES ('{name}')", "SET LOCAL dadbs.commit_timeout = '2s'") as lost:
            for i in others:
                c.deafen(i, [2])
            error = None
            try:
                lost.commit()
            except psycopg2.Error as e:
                error = e
        check(error is not None and error.pgcode in (UNKNOWN, "DA001", "DA002"), f"commit of a member that nobody hears: {error}")
        if error.pgcode == UNKNOWN:
            return re.search(r"transaction_status\((.*?)\)", error.diag.message_hint)[1]
        hear_again(c, others)  # a slow machine: the links were given up before COMMIT
    raise Failure("never handed over while nobody heard it")


def hear_again(c, members):
    for i in members:
        c.deafen(i, [])
    c.wait_ready()


@suite.test
def h21_batch_lost_in_a_crash(c):
    """A batch of member 2 reaches nobody, once with its member's end: what it orders later is not held up by the gap."""
    c.run(1, "CREATE TABLE lost (name text PRIMARY KEY)")
    c.settle()
    for name in ("first", "second"):
        call = ordered_by_nobody(c, name)
        if name == "first":
            c.kill(2)
            c.start_member(2)
        hear_again(c, (1, 3, 4))
        equal(sqlstate(lambda: c.run(2, "SET dadbs.commit_timeout = '60s'", f"INSERT INTO lost VALUES ('after {name}')")), None, "the member orders again")
        told_truly(c, call, "lost", name)


@suite.test
def h21_numbers_have_no_gaps(c):
    """Links of one member come and go under its own load: batches arrive late and out of order, numbers are ordered one by one."""
    acknowledged, unknown, workers = set(), set(), Workers()

    def client(stop, k):
        connection = None
        while not stop.is_set():
            name = f"{k}-{time.monotonic_ns()}"
            try:
                if connection is None or connection.closed:
                    connection = c.connect(3)
                    connection.cursor().execute("SET dadbs.commit_timeout = '10s'")
                connection.cursor().execute(f"INSERT INTO lost VALUES ('{name}')")
                acknowledged.add(name)
            except psycopg2.Error as e:
                check(e.pgcode in (UNKNOWN, CONFLICT, "DA001", "DA002"), f"{e.pgcode} {e}")
                if e.pgcode == UNKNOWN:
                    unknown.add(name)
                time.sleep(0.05)
    for k in range(6):
        workers.start(client, k)
    for _ in range(30 if LONG else 4):
        time.sleep(0.4)
        c.cut(3)
        time.sleep(0.3)
        c.heal(3)
    c.wait_ready()
    eventually(lambda: workers.errors or len(acknowledged) > 20, 60, "commits")
    workers.join()
    c.settle()
    for i in c.members():
        stored = {r[0] for r in c.run(i, "SELECT name FROM lost WHERE name ~ '^[0-9]'")}
        check(acknowledged <= stored <= acknowledged | unknown, f"member {i}: {len(acknowledged - stored)} lost, {len(stored - acknowledged - unknown)} too many")
        gaps = c.run(i, "SELECT origin, incarnation, min(number), max(number), count(*) FROM dadbs_internal.transaction GROUP BY 1, 2 "
                        "HAVING min(number) <> 1 OR max(number) <> count(*) OR count(DISTINCT number) <> count(*)")
        equal(gaps, [], f"numbers on member {i}")


def others_go_on(c, table, what, again=0):
    """Members define and write what the stalled client has touched, within the limit."""
    for member in (2, 3, 4, 1):
        began = time.monotonic()
        equal(sqlstate(lambda m=member: c.run(m, f"ALTER TABLE {table} ADD COLUMN from_{m}_{again} int")), None, f"{what}: ALTER TABLE on member {member}")
        equal(sqlstate(lambda m=member: c.run(m, f"INSERT INTO {table} (id) VALUES ({100 + 10 * again + m})")), None, f"{what}: INSERT on member {member}")
        check(time.monotonic() - began < SOON, f"{what}: member {member} had to wait")
        c.settle(SOON)


@suite.test
def h22_definition_and_flush_without_sync(c):
    """The client has its answer and does not go on: nobody waits for it, it holds nothing."""
    with Wire(c.port) as wire:
        wire.parse("CREATE TABLE flushed (id int PRIMARY KEY)").bind().execute().flush()
        equal(tags(wire.until("C")), ["CREATE TABLE"], "the answer before Sync")
        c.settle()
        equal(c.run(1, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE flushed%' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)"), [],
              "sessions that still have a transaction")
        others_go_on(c, "flushed", "after a definition")
        wire.parse("ALTER TABLE flushed ADD COLUMN v int").bind().execute().flush()
        equal(tags(wire.until("CE")), ["ALTER TABLE"], "a second one, still before Sync")
        c.settle()
        others_go_on(c, "flushed", "after the second one", again=1)
        equal(letters(wire.sync().until("Z")), "Z", "Sync at last")
        equal(wire.status, "I", "no transaction is open")
        wire.terminate()
    everywhere(c, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'flushed'", [(10,)], "columns")


@suite.test
def h22_sent_and_gone(c):
    """Clients that send a definition and vanish, before or after it is executed: it is there or not, and nobody waits."""
    for k in range(6):
        wire = Wire(c.port + k % 4)
        wire.parse(f"CREATE TABLE gone{k} (id int PRIMARY KEY)").bind().execute().flush().send()
        if k % 2:
            wire.until("C")
        wire.close()
        began = time.monotonic()
        c.run(2 if k % 4 == 0 else 1, f"CREATE TABLE stays{k} (id int PRIMARY KEY)")
        check(time.monotonic() - began < SOON, "somebody waits for a client that is gone")
    everywhere(c, "SELECT count(*) FROM pg_class WHERE relname ~ '^stays.$'", [(6,)], "tables")
    there = c.value(1, "SELECT count(*) FROM pg_class WHERE relname ~ '^gone.$'")
    check(there >= 3, f"what was acknowledged is there: {there}")


@suite.test
def h22_first_statement_of_a_pipeline(c):
    """It looks alone. A definition that comes first is committed by itself, and stays so whatever follows."""
    with Wire(c.port) as wire:
        wire.statement("CREATE TABLE piped (id int PRIMARY KEY, v int)").statement("INSERT INTO piped VALUES (1, 1)")
        wire.statement("INSERT INTO piped VALUES (1, 2)").statement("INSERT INTO piped VALUES (3, 3)").sync()
        answer = wire.until("Z")
        equal((tags(answer), sqlstates(answer), wire.status), (["CREATE TABLE", "INSERT 0 1"], ["23505"], "I"), "definition, rows, an error")
        everywhere(c, "SELECT count(*) FROM piped", [(0,)], "rows of the pipeline that failed")
        # Behind rows it belongs to their transaction: all or nothing.
        wire.statement("INSERT INTO piped VALUES (1, 1)").statement("ALTER TABLE piped ADD COLUMN w int DEFAULT 7")
        wire.statement("INSERT INTO piped VALUES (2, 2, 2)").statement("SELECT w FROM piped ORDER BY id").sync()
        answer = wire.until("Z", 20)
        equal((tags(answer), sqlstates(answer)), (["INSERT 0 1", "ALTER TABLE", "INSERT 0 1", "SELECT 2"], []), "rows, definition, rows")
        equal(rows(answer), [(b"7",), (b"2",)], "what the pipeline read")
        everywhere(c, "SELECT id, w FROM piped ORDER BY 1", [(1, 7), (2, 2)], "rows")
        wire.statement("INSERT INTO piped VALUES (4, 4, 4)").statement("ALTER TABLE piped ADD COLUMN x int").statement("SELECT 1 / 0").sync()
        equal(sqlstates(wire.until("Z", 20)), ["22012"], "an error behind both")
        # A simple query of several statements is one transaction as well.
        equal(sqlstates(wire.simple("ALTER TABLE piped ADD COLUMN y int; INSERT INTO piped (id) VALUES (5); SELECT 1 / 0", 20)), ["22012"], "a string")
        equal(tags(wire.simple("ALTER TABLE piped ADD COLUMN z int; INSERT INTO piped (id) VALUES (6)", 20)), ["ALTER TABLE", "INSERT 0 1"], "a string")
        wire.terminate()
    everywhere(c, "SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'piped'",
               [(["id", "v", "w", "z"],)], "columns")
    everywhere(c, "SELECT id FROM piped ORDER BY 1", [(1,), (2,), (6,)], "rows")


@suite.test
def h22_rows_without_sync_and_suspended_portals(c):
    """Rows that are written and not committed hold locks: who needs them gets them, the client is told at its next message."""
    c.run(1, "CREATE TABLE held (id int PRIMARY KEY, n int)", "INSERT INTO held SELECT i, 0 FROM generate_series(1, 20) i")
    c.settle()
    with Wire(c.port) as flushed, Wire(c.port) as suspended, Wire(c.port) as reading:
        flushed.statement("UPDATE held SET n = 1 WHERE id = 1").flush()
        equal(tags(flushed.until("C")), ["UPDATE 1"], "an update, flushed")
        suspended.parse("UPDATE held SET n = 2 WHERE id BETWEEN 2 AND 5 RETURNING id").bind().execute(rows=1).flush()
        equal(letters(suspended.until("s"))[-2:], "Ds", "a portal that is suspended")
        reading.parse("SELECT id FROM held WHERE id > 10 ORDER BY id FOR UPDATE").bind().execute(rows=1).flush()
        reading.until("s")
        began = time.monotonic()
        c.run(2, "UPDATE held SET n = 10")
        c.settle(SOON)
        check(time.monotonic() - began < SOON, "the others had to wait")
        for wire, what in ((flushed, "flushed"), (suspended, "suspended"), (reading, "reading")):
            check(ended(wire), f"{what}: a client that lost its locks was told nothing")
    everywhere(c, "SELECT DISTINCT n FROM held", [(10,)], "rows")


def ended(wire):
    """The client goes on and reads 40001, or that its connection was ended."""
    try:
        return set(sqlstates(wire.execute().sync().until("Z"))) & {CONFLICT, "57P01"}
    except (WireError, OSError):
        return True


def blocked_until(c, member, what, statement):
    """Another member's statement is applied on `member` although somebody there stands in the way."""
    other = member % c.n + 1
    began = time.monotonic()
    equal(sqlstate(lambda: c.run(other, statement)), None, what)
    c.settle(SOON)
    check(time.monotonic() - began < SOON, f"{what}: {time.monotonic() - began:.1f} s")


@suite.test
def h23_client_that_stopped_reading(c):
    """It holds row locks and its backend sleeps in send(): only ending the session frees them."""
    c.run(1, "CREATE TABLE big (id int PRIMARY KEY, v text)", "INSERT INTO big SELECT i, repeat('x', 2000) FROM generate_series(1, 3000) i")
    c.settle()
    for statement in ("UPDATE big SET v = 'y' WHERE id = 1", "ALTER TABLE big ADD COLUMN w int"):
        with Wire(c.port) as wire:
            wire.query("SELECT id, repeat(v, 10) FROM big ORDER BY id FOR UPDATE").send()
            eventually(lambda: not c.run(1, "SELECT 1 FROM big WHERE id = 2 FOR UPDATE SKIP LOCKED"), SOON, "the reader has its locks")
            eventually(lambda: c.value(1, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == 1, SOON, "it sleeps in send()")
            blocked_until(c, 1, f"{statement} against a client that has stopped reading", statement)


@suite.test
def h23_prepared_transactions(c):
    """One that holds locks of shared tables could not be told to let go: it is refused, whatever it did to get them."""
    for member in (1, 3):
        for statement in ("SELECT * FROM hot FOR UPDATE", "SELECT * FROM hot FOR KEY SHARE", "LOCK TABLE hot", "SELECT * FROM hot", "LOCK TABLE hot IN ROW SHARE MODE",
                          "UPDATE hot SET n = 1", "TRUNCATE hot", "CREATE TABLE made_by_prepared (id int)", "SAVEPOINT s; LOCK TABLE hot; RELEASE s"):
            refused(c, "0A000", "BEGIN", statement, "PREPARE TRANSACTION 'p'", member=member)
    equal(sqlstate(lambda: c.run(1, "BEGIN", "SAVEPOINT s", "LOCK TABLE hot", "ROLLBACK TO s", "PREPARE TRANSACTION 'p'")), None, "locks that were given back")
    equal(sqlstate(lambda: c.run(1, "BEGIN", "CREATE TEMP TABLE x (a int)", "DROP TABLE x", "COMMIT")), None, "a temporary table")
    blocked_until(c, 1, "an update", "UPDATE hot SET n = n + 1")
    blocked_until(c, 1, "a definition", "ALTER TABLE hot ADD COLUMN more int")
    c.run(1, "ROLLBACK PREPARED 'p'")


@suite.test
def h23_sessions_that_do_not_let_go(c):
    """A function that catches every error, one that sleeps, an idle session in a savepoint, a lock of the whole table."""
    stubborn = ("DO $$ BEGIN PERFORM * FROM hot FOR UPDATE; LOOP BEGIN PERFORM pg_sleep(0.1); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; "
                "END LOOP; END $$")
    holders = {"catches every error": [stubborn], "sleeps with its locks": ["DO $$ BEGIN PERFORM * FROM hot FOR UPDATE; PERFORM pg_sleep(60); END $$"]}
    for what, statements in holders.items():
        holder = Background(sqlstate, lambda s=statements: c.run(1, *s))
        eventually(lambda: c.run(1, "SELECT 1 FROM hot WHERE id = 1 FOR UPDATE SKIP LOCKED") == [], SOON, f"{what}: has its locks")
        blocked_until(c, 1, what, "UPDATE hot SET n = n + 1")
        check(holder.result(SOON) in LOST | {"57014"}, f"{what}: {holder.outcome}")
    for what, statements in {"idle in a savepoint": ["SELECT * FROM hot FOR UPDATE", "SAVEPOINT s", "SELECT 1"],
                             "locks the table": ["LOCK TABLE hot IN ACCESS EXCLUSIVE MODE"]}.items():
        with transaction(c, 1, *statements) as idle:
            blocked_until(c, 1, what, "UPDATE hot SET n = n + 1")
            check(sqlstate(lambda: idle.cursor().execute("SELECT 1")) in LOST, f"{what} was not told")


@suite.test
def h23_holder_of_the_turn_asleep(c):
    """The local backend whose turn it is sleeps on a lock and can signal nobody: the watcher does it in its place."""
    for lock in ("dadbs_internal.transaction IN SHARE MODE", "dadbs_internal.transaction IN ACCESS EXCLUSIVE MODE", "dadbs_internal.block IN SHARE MODE"):
        with transaction(c, 1, f"LOCK TABLE {lock}") as idle:
            began = time.monotonic()
            equal(Background(sqlstate, lambda: c.run(1, "UPDATE hot SET n = n + 1 WHERE id = 2")).result(SOON), None, f"a local commit under {lock}")
            blocked_until(c, 1, lock, "UPDATE hot SET n = n + 1 WHERE id = 3")
            check(time.monotonic() - began < 2 * SOON, lock)
            check(sqlstate(lambda: idle.cursor().execute("SELECT 1")) in LOST, "the session that held it")


@(suite.test if LONG else lambda function: function)
def h23_autovacuum_against_wraparound(c):
    """It does not give way to a lock request as other autovacuums do; a definition at its position needs the table."""
    c.run(2, "ALTER TABLE big SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)")
    c.settle()
    c.run(1, "CREATE TEMP TABLE burn (a int)",
          "DO $$ BEGIN FOR i IN 1..120000 LOOP BEGIN INSERT INTO burn VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$")
    eventually(lambda: c.value(1, "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'autovacuum: VACUUM public.big .*wraparound'"), 120, "autovacuum at work")
    blocked_until(c, 1, "a definition against autovacuum", "ALTER TABLE big ADD COLUMN x int")


@suite.test
def h24_capture_restarts_under_an_open_transaction(c):
    """T waits for capture and the new capture for T: T is answered; one that stays idle is named, and its end ends the wait."""
    c.run(1, "CREATE TABLE h24 (id int PRIMARY KEY)")
    c.settle()
    with transaction(c, 2, "INSERT INTO h24 VALUES (9)") as t:
        with paused(c, 2, "consensus"):  # what capture has handed over lies in the queue, and is lost with it
            commit = commit_in_background(t)
            eventually(lambda: c.run(2, f"SELECT 1 FROM dadbs.stat_activity WHERE pid = {t.pid} AND state LIKE 'ordering%'"), SOON, "a COMMIT is handed over")
            end_worker(c, 2, "consensus")
        state = commit.result(SOON)
        check(state in (CONFLICT, None), f"a transaction whose write set was lost with its workers: {state}")
    c.wait_ready()
    c.run(3, "DELETE FROM h24")
    c.settle()
    with transaction(c, 2, "INSERT INTO h24 VALUES (1)") as t:
        end_worker(c, 2, "capture")
        eventually(lambda: c.value(2, "SELECT NOT can_write FROM dadbs.status"), SOON, "capture is gone")
        state = commit_in_background(t).result(SOON)
        check(state in (CONFLICT, "DA002"), f"a transaction that is older than capture: {state}")
    c.wait_ready()
    idle = c.connect(2, autocommit=False)
    idle.cursor().execute("CREATE TEMP TABLE nobodys (a int)")
    try:
        pid = idle.get_backend_pid()
        end_worker(c, 2, "capture")
        eventually(lambda: str(pid) in str(c.run(2, "SELECT waiting_for, reason FROM dadbs.status")), SOON, "status names the session that is waited for")
        check(sqlstate(lambda: c.run(2, "INSERT INTO h24 VALUES (2)")) == "DA002", "a write meanwhile")
        equal(sqlstate(lambda: c.run(3, "INSERT INTO h24 VALUES (3)")), None, "the other members")
        idle.rollback()
    finally:
        idle.close()
    eventually(lambda: sqlstate(lambda: c.run(2, "INSERT INTO h24 VALUES (4)")) is None, 30, "writes go on")
    everywhere(c, "SELECT id FROM h24 ORDER BY 1", [(3,), (4,)], "rows")


CATALOGS = ("pg_class", "pg_attribute", "pg_type", "pg_index", "pg_constraint", "pg_attrdef", "pg_trigger", "pg_rewrite", "pg_policy", "pg_proc", "pg_namespace",
            "pg_partitioned_table", "pg_inherits", "pg_enum", "pg_range", "pg_opclass", "pg_amop", "pg_amproc", "pg_collation", "pg_database", "pg_authid")


@suite.test
def h24_locked_catalogs(c):
    """Decoding reads catalogs: it would wait for the transaction that waits for it."""
    for k, catalog in enumerate(CATALOGS):
        # A table that capture has never looked at, with everything that a relation can have.
        c.run(2, f"CREATE TABLE fresh{k} (id int PRIMARY KEY, p int REFERENCES fresh{k}, d int DEFAULT 1 CHECK (d > 0), g int GENERATED ALWAYS AS (1) STORED)")
        c.settle()
        commit = Background(sqlstate, lambda t=catalog, k=k: c.run(1, "BEGIN", f"LOCK TABLE {t}", f"INSERT INTO fresh{k} VALUES (1)", "COMMIT"))
        state = commit.result(SOON, f"a commit under LOCK {catalog}")
        check(state in (None, "0A000", CONFLICT), f"LOCK {catalog}: {state}")
        check(state == "0A000" or k >= 5, f"LOCK {catalog} is not refused with a reason: {state}")
        everywhere(c, f"SELECT count(*) FROM fresh{k}", [(0 if state else 1,)], catalog)
    state = Background(sqlstate, lambda: c.run(1, "BEGIN", "REINDEX INDEX pg_class_oid_index", "INSERT INTO h24 VALUES (10)", "COMMIT")).result(SOON, "REINDEX and a write")
    check(state in (None, "0A000", CONFLICT), f"REINDEX of a catalog: {state}")


@suite.test
def h24_catalog_locked_by_another_session(c):
    """An idle session with a lock that capture needs holds up all commits of this member: it has to let go."""
    for k, lock in enumerate(("LOCK TABLE pg_trigger", "LOCK TABLE pg_attrdef")):
        c.run(2, f"CREATE TABLE late{k} (id int PRIMARY KEY, p int REFERENCES late{k}, d int DEFAULT 1)")
        c.settle()
        writer = c.connect(1, autocommit=False)
        writer.cursor().execute(f"INSERT INTO late{k} VALUES (1)")
        with transaction(c, 1, lock):
            equal(commit_in_background(writer).result(SOON, f"a commit while another session holds {lock}"), None, lock)
        writer.close()
        everywhere(c, f"SELECT count(*) FROM late{k}", [(1,)], lock)


if __name__ == "__main__":
    suite.main()
