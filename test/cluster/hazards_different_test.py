"""Hazards that would leave honest members with different tables or verdicts; the numbers are those of docs/testing.md.

What an answer looks like from outside: refused before it is ordered, or judged alike at its position, whatever the
session, the member's catalogs or its past. That members are equal is checked after each test.
"""
import contextlib
import random
import time
from collections import Counter

import psycopg2

from clients import (LOST, OWNER, Background, await_applied, commit_in_background, end_worker, everywhere, one_wins, paused, race, refused, transaction)
from harness import CONFLICT, LONG, UNKNOWN, Suite, Workers, check, equal, eventually, sqlstate, worker_pid

suite = Suite("hazards_different", port=7900)
NOT_IMMUTABLE = "42P17"


def rows_everywhere(c, table, ids):
    everywhere(c, f"SELECT id FROM {table} ORDER BY 1", [(k,) for k in ids], table)


@suite.test
def h01_check_depends_on_time_zone(c):
    """Refused when it is defined: what is known not to be immutable."""
    for definition in ("CREATE TABLE bad (id int PRIMARY KEY, ts timestamptz, d date, CHECK (ts::date = d))",
                       "CREATE TABLE bad (id int PRIMARY KEY, u text CHECK (u = current_user))",
                       "CREATE TABLE bad (id int PRIMARY KEY, d date CHECK (d <= now()))",
                       "CREATE TABLE bad (id int PRIMARY KEY, ts timestamptz, g text GENERATED ALWAYS AS (ts::text) STORED)",
                       "CREATE DOMAIN today AS date CHECK (VALUE = current_date)"):
        refused(c, NOT_IMMUTABLE, definition)
        refused(c, NOT_IMMUTABLE, "BEGIN", definition, "COMMIT", member=2)
    c.run(1, "CREATE TABLE z (id int PRIMARY KEY, ts timestamptz UNIQUE, d date)", "CREATE TABLE zc (id int PRIMARY KEY, d date)")
    c.settle()
    refused(c, NOT_IMMUTABLE, "ALTER TABLE z ADD CHECK (ts::date = d)", member=3)
    refused(c, NOT_IMMUTABLE, "CREATE INDEX ON z ((ts::date))", member=4)
    # A foreign key whose sides are compared by the session's time zone.
    refused(c, NOT_IMMUTABLE, "ALTER TABLE zc ADD FOREIGN KEY (d) REFERENCES z (ts)", member=2)
    refused(c, NOT_IMMUTABLE, "CREATE TABLE zd (id int PRIMARY KEY, d date REFERENCES z (ts))", member=3)


@suite.test
def h01_numbers_of_labels(c):
    """The labels of an enum have other numbers on a member that has made objects of its own."""
    c.run(2, *[f"CREATE TEMP TABLE own{i} (a text)" for i in range(5)])
    c.run(1, "CREATE TYPE hue AS ENUM ('red', 'blue', 'green', 'white', 'black')", "CREATE TYPE hue_pair AS (a hue, b int)")
    c.settle()
    for definition in ("CREATE TABLE bad (id int, e hue, PRIMARY KEY (id, e)) PARTITION BY HASH (e)",
                       "CREATE TABLE bad (id int, e hue[]) PARTITION BY HASH (e)", "CREATE TABLE bad (id int, e hue_pair) PARTITION BY HASH (id, e)",
                       "CREATE TABLE bad (id int PRIMARY KEY, e hue CHECK (hashenum(e) % 2 = 0))",
                       "CREATE TABLE bad (id int PRIMARY KEY, e hue, h int GENERATED ALWAYS AS (hash_record(row(e))) STORED)"):
        refused(c, "0A000", definition)
        refused(c, "0A000", "BEGIN", definition, "COMMIT", member=2)
    c.run(1, "CREATE TABLE hues (id int, e hue, PRIMARY KEY (id, e)) PARTITION BY LIST (e)", "CREATE TABLE hues_red PARTITION OF hues FOR VALUES IN ('red')",
          "CREATE TABLE hues_all PARTITION OF hues DEFAULT", "CREATE TABLE by_id (id int PRIMARY KEY, e hue) PARTITION BY HASH (id)",
          "CREATE TABLE by_id0 PARTITION OF by_id FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    c.settle()
    c.run(2, "INSERT INTO hues SELECT row_number() OVER (), e FROM unnest(enum_range(null::hue)) e", "INSERT INTO by_id VALUES (1, 'blue')")
    everywhere(c, "SELECT count(*), count(*) FILTER (WHERE tableoid = 'hues_red'::regclass) FROM hues", [(5, 1)], "rows by label")


@suite.test
def h01_functions_that_claim_to_be_immutable(c):
    """They read settings, the role, the time zone: the member at which the row comes in may not decide by itself."""
    body = "LANGUAGE plpgsql IMMUTABLE AS"
    c.run(1, f"CREATE FUNCTION zone() RETURNS text {body} 'BEGIN RETURN current_setting(''TimeZone''); END'",
          f"CREATE FUNCTION in_zone(text) RETURNS text {body} 'BEGIN RETURN current_setting(''TimeZone'') || $1; END'",
          f"CREATE FUNCTION me() RETURNS text {body} 'BEGIN RETURN current_user; END'",
          f"CREATE FUNCTION day_of(timestamptz) RETURNS date {body} 'BEGIN RETURN $1::date; END'",
          "CREATE TABLE here (id int PRIMARY KEY, CHECK (zone() = 'Asia/Kolkata'))",
          "CREATE TABLE there (id int PRIMARY KEY, CHECK (zone() <> 'Asia/Kolkata'))",
          "CREATE DOMAIN local_text AS text CHECK (zone() = 'Asia/Kolkata')", "CREATE TABLE indomain (id int PRIMARY KEY, v local_text)",
          "CREATE ROLE teller LOGIN", "CREATE TABLE mine (id int PRIMARY KEY, CHECK (me() = 'teller'))",
          "CREATE TABLE made (id int PRIMARY KEY, g text GENERATED ALWAYS AS (zone()) STORED)",
          "CREATE TABLE days (id int, ts timestamptz) PARTITION BY LIST (day_of(ts))",
          "CREATE TABLE days_1 PARTITION OF days FOR VALUES IN ('2024-01-01')", "CREATE TABLE days_2 PARTITION OF days FOR VALUES IN ('2024-01-02')",
          "CREATE TABLE coded (id int PRIMARY KEY, v text)", "CREATE UNIQUE INDEX ON coded (in_zone(v))",
          "GRANT ALL ON here, there, indomain, mine, made, days, coded TO teller")
    c.settle()
    kolkata = "SET TimeZone = 'Asia/Kolkata'"
    for member in c.members():
        refused(c, "23514", OWNER, kolkata, f"INSERT INTO here VALUES ({member})", member=member)  # passes in the session
        refused(c, "23514", OWNER, kolkata, f"INSERT INTO there VALUES ({member})", member=member)
        refused(c, "23514", OWNER, kolkata, f"INSERT INTO indomain VALUES ({member}, 'x')", member=member)
        refused(c, "23514", f"INSERT INTO mine VALUES ({member})", member=member, user="teller")
        refused(c, "DA005", OWNER, kolkata, f"INSERT INTO made VALUES ({member})", member=member)
        refused(c, ("23514", "DA005"), OWNER, kolkata, f"INSERT INTO days VALUES ({member}, '2024-01-01 20:00+00')", member=member)
        c.run(member, OWNER, "SET TimeZone = 'UTC'", f"INSERT INTO there VALUES ({member})", f"INSERT INTO made VALUES ({member})",
              f"INSERT INTO days VALUES ({member}, '2024-01-01 20:00+00')")
    for table in ("here", "indomain", "mine"):
        rows_everywhere(c, table, [])
    for table in ("there", "made", "days_1"):
        rows_everywhere(c, table, [1, 2, 3, 4])
    # The entry of an index is each member's own computation: all make the same one.
    states = [sqlstate(lambda i=i: c.run(i, OWNER, kolkata if i % 2 else "SET TimeZone = 'UTC'",
                                         f"INSERT INTO coded VALUES ({i}, 'x')") or c.settle()) for i in c.members()]
    equal(states, [None, "23505", "23505", "23505"], "a unique index over the time zone")
    rows_everywhere(c, "coded", [1])
    c.run(1, "DROP TABLE here, there, indomain, mine, made, days, coded", "DROP ROLE teller")


def h04_writers():
    """Name of a table, how it depends on h04.good, and a row that good() judges."""
    return {"by_check": ("n int CHECK (h04.good(n))", "1"), "by_domain": ("n h04.fine", "1"),
            "by_operator": ("n int CHECK (n OPERATOR(h04.@@@) 0)", "1"), "by_body": ("n int CHECK (h04.outer_good(n))", "1")}


def h04_define(c):
    c.run(1, "CREATE SCHEMA h04", "CREATE FUNCTION h04.good(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0'",
          "CREATE FUNCTION h04.good2(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT h04.good($1)'",
          "CREATE OPERATOR h04.@@@ (FUNCTION = h04.good2, LEFTARG = int, RIGHTARG = int)",
          "CREATE FUNCTION h04.outer_good(n int) RETURNS bool IMMUTABLE LANGUAGE sql BEGIN ATOMIC SELECT h04.good(n); END",
          "CREATE DOMAIN h04.fine AS int CHECK (h04.good(VALUE))", "CREATE TYPE h04.mood AS ENUM ('sad', 'ok')",
          "CREATE TABLE h04.moods (id int PRIMARY KEY, m h04.mood)", "CREATE TABLE h04.other (id int PRIMARY KEY)",
          "CREATE TABLE h04.guarded (id int PRIMARY KEY, n int)", "ALTER TABLE h04.guarded ENABLE ROW LEVEL SECURITY",
          "CREATE POLICY p ON h04.guarded USING (true)", "CREATE ROLE clerk LOGIN", "GRANT USAGE ON SCHEMA h04 TO PUBLIC",
          "GRANT ALL ON h04.guarded TO clerk")
    for table, (column, _) in h04_writers().items():
        c.run(1, f"CREATE TABLE h04.{table} (id int PRIMARY KEY, {column})")
    c.settle()


@suite.test
def h04_definition_replaced_under_a_writer(c):
    """A function, an operator's or a domain's function, an enum label, a policy: no lock tells the writer of it."""
    h04_define(c)
    replacement = "CREATE OR REPLACE FUNCTION h04.good(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 10'"
    writers = {}
    for table, (_, value) in h04_writers().items():
        writers[table] = c.connect(2, autocommit=False)
        writers[table].cursor().execute(f"{OWNER}; INSERT INTO h04.{table} VALUES (1, {value})")
    # The operator's function calls good() in a text that pg_depend doesn't see: replayed, so judged by the new one.
    expected = {"by_check": CONFLICT, "by_domain": CONFLICT, "by_operator": "23514", "by_body": CONFLICT}
    with transaction(c, 2, OWNER, "INSERT INTO h04.other VALUES (1)") as other:
        c.run(3, replacement)
        c.settle()
        for table, writer in writers.items():
            equal(sqlstate(writer.commit), expected[table], f"a writer of {table} under the old definition")
            writer.close()
        equal(sqlstate(other.commit), None, "a writer of a table that has nothing to do with it")
    for table in writers:
        rows_everywhere(c, f"h04.{table}", [])
        refused(c, "23514", OWNER, f"INSERT INTO h04.{table} VALUES (2, 2)", member=2)
    with transaction(c, 2, "INSERT INTO h04.moods VALUES (1, 'sad')") as writer:
        c.run(3, "ALTER TYPE h04.mood RENAME VALUE 'sad' TO 'grim'")
        c.settle()
        check(sqlstate(writer.commit) in LOST, "a writer of a label that was renamed")
    with transaction(c, 2, "INSERT INTO h04.guarded VALUES (1, 1)", user="clerk") as writer:
        c.run(3, "DROP POLICY p ON h04.guarded")
        c.settle()
        check(sqlstate(writer.commit) in LOST, "a writer under a policy that was dropped")
    for table in ("moods", "guarded"):
        rows_everywhere(c, f"h04.{table}", [])


@suite.test
def h04_definition_that_rows_were_computed_by(c):
    c.run(1, "CREATE FUNCTION h04.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2'",
          "CREATE TABLE h04.stored (id int PRIMARY KEY, g int GENERATED ALWAYS AS (h04.twice(id)) STORED)")
    c.settle()
    again = "CREATE OR REPLACE FUNCTION h04.twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 3'"
    refused(c, "0A000", again, member=2)
    refused(c, "0A000", "BEGIN", again, "COMMIT", member=3)
    equal(sqlstate(lambda: c.run(4, "CREATE CAST (h04.mood AS int) WITH INOUT")), "0A000", "a cast")
    c.settle()
    c.run(1, "DROP TABLE h04.stored", "CREATE TABLE h04.indexed (id int PRIMARY KEY)", "CREATE INDEX ON h04.indexed (h04.twice(id))")
    c.settle()
    refused(c, "0A000", again, member=2)
    c.run(1, "DROP SCHEMA h04 CASCADE", "DROP ROLE clerk")


def h07_tables(c):
    c.run(1, "CREATE TABLE h07 (id int PRIMARY KEY, code text NOT NULL UNIQUE, slot int UNIQUE, n int)",
          "CREATE TABLE h07_child (id int PRIMARY KEY, code text REFERENCES h07 (code))",
          "INSERT INTO h07 SELECT i, 'c' || i, i, 0 FROM generate_series(1, 40) i")
    c.settle()


# What a member commits while member 2 does not see it, and what member 2 then commits on its old state.
H07_PAIRS = [
    ("UPDATE h07 SET code = 'moved' WHERE id = 1", "INSERT INTO h07_child VALUES (1, 'c1')"),  # an old value, referred to
    ("DELETE FROM h07 WHERE id = 2", "INSERT INTO h07_child VALUES (2, 'c2')"),
    ("INSERT INTO h07_child VALUES (3, 'c3')", "DELETE FROM h07 WHERE id = 3"),  # a reference
    ("UPDATE h07 SET n = 4 WHERE id = 4", "UPDATE h07 SET n = 5 WHERE id = 4"),
    ("UPDATE h07 SET slot = 500 WHERE id = 5", "INSERT INTO h07 VALUES (100, 'new', 500, 0)"),
    ("DELETE FROM h07 WHERE id = 6", "UPDATE h07 SET slot = 600 WHERE id = 6"),
]


@suite.test
def h07_index_after_a_crash(c):
    """Members 1 and 4 have certified the first of each pair themselves, member 3 only knows it from before its crash."""
    h07_tables(c)
    with paused(c, 2):
        for first, _ in H07_PAIRS:
            c.run(1, first)
        c.run(1, "CREATE TABLE h07_later (id int PRIMARY KEY)", "DROP TABLE h07_later")  # catalogs move on
        eventually(lambda: c.value(3, "SELECT slot FROM h07 WHERE id = 5") == 500 and not c.value(3, "SELECT count(*) FROM h07 WHERE id = 6"),
                   20, "member 3 has applied them")
        c.kill(3)
        c.start_member(3)
        late = [c.connect(2, autocommit=False) for _ in H07_PAIRS]
        for connection, (_, second) in zip(late, H07_PAIRS):
            connection.cursor().execute(second)
        commits = [commit_in_background(connection) for connection in late]
        eventually(lambda: c.value(4, "SELECT count(*) FROM dadbs.transactions WHERE verdict = 'conflict'") >= len(H07_PAIRS), 20,
                   "member 4 has refused them")
    equal([commit.result() for commit in commits], [CONFLICT] * len(commits), "those that came second")
    for connection in late:
        connection.close()
    everywhere(c, "SELECT count(*) FROM h07_child c LEFT JOIN h07 USING (code) WHERE h07.id IS NULL", [(0,)], "orphans")



@suite.test
def h07_workers_and_servers_killed_under_load(c):
    """Members lose their index again and again while all certify the same positions; verdicts are compared at the end."""
    c.run(1, "CREATE TABLE h07_load (id int PRIMARY KEY, code int UNIQUE, slot int UNIQUE, n int)",
          "CREATE TABLE h07_refers (id bigserial PRIMARY KEY, code int REFERENCES h07_load (code) ON DELETE CASCADE)",
          "INSERT INTO h07_load SELECT i, i, i, 0 FROM generate_series(1, 12) i")
    c.settle()
    outcomes, workers = Counter(), Workers()
    for member in c.members():
        for k in range(2):
            workers.start(h07_writer, c, member, 10 * member + k, outcomes)
    rng = random.Random(7)
    deadline = time.monotonic() + (120 if LONG else 9)
    while time.monotonic() < deadline:
        member = rng.choice((2, 3, 4))
        if rng.random() < 0.25:
            c.kill(member)
            c.start_member(member)
        else:
            with contextlib.suppress(StopIteration, ProcessLookupError, OSError):
                end_worker(c, member, "apply")
        definition = rng.choice(("SELECT 1", "ALTER TABLE h07_load ADD COLUMN IF NOT EXISTS extra int UNIQUE", "ALTER TABLE h07_load DROP COLUMN IF EXISTS extra"))
        state = sqlstate(lambda: c.run(1, definition))
        check(state in (None, UNKNOWN, "DA001", "DA002"), f"{definition}: {state}")  # two members may be away at once
        time.sleep(0.3)
    c.wait_ready()
    eventually(lambda: workers.errors or (outcomes[None] > 50 and outcomes[CONFLICT] > 20), 60, "commits and conflicts")
    workers.join(90)
    check(outcomes[None] > 50 and outcomes[CONFLICT] > 20, f"too little happened: {outcomes}")
    everywhere(c, "SELECT count(*) FROM h07_refers r LEFT JOIN h07_load l USING (code) WHERE l.id IS NULL", [(0,)], "orphans")


def h07_writer(stop, c, member, seed, outcomes):
    rng = random.Random(seed)
    statements = ["UPDATE h07_load SET n = n + 1 WHERE id = {a}", "UPDATE h07_load SET code = {b} WHERE id = {a}",
                  "UPDATE h07_load SET slot = {b} WHERE id = {a}", "DELETE FROM h07_load WHERE id = {a}",
                  "INSERT INTO h07_load VALUES ({a}, {b}, {b}, 0)", "INSERT INTO h07_refers (code) VALUES ({b})"]
    connection = None
    while not stop.is_set():
        try:
            if connection is None or connection.closed:
                connection = c.connect(member)
            with connection.cursor() as cursor:
                cursor.execute(rng.choice(statements).format(a=rng.randint(1, 12), b=rng.randint(1, 15)))
            outcomes[None] += 1
        except psycopg2.Error as e:
            outcomes[e.pgcode] += 1
            known = (CONFLICT, UNKNOWN, "40P01", "DA001", "DA002", "57P01", "57P02", "57P03", None)
            check(e.pgcode in known or e.pgcode.startswith("23"), f"member {member}: {e.pgcode} {e}")
            if e.pgcode is None or e.pgcode.startswith(("57", "DA")):
                time.sleep(0.1)


@suite.test
def h11_unlogged(c):
    """What capture could not see is refused, in every form in which it can be asked for."""
    c.run(1, "CREATE TABLE h11 (id int PRIMARY KEY)", "CREATE TABLE h11_parts (id int PRIMARY KEY) PARTITION BY LIST (id)",
          "CREATE TABLE h11_part PARTITION OF h11_parts FOR VALUES IN (1)", "CREATE SEQUENCE h11_sequence")
    c.settle()
    for statement in ("ALTER TABLE h11 SET UNLOGGED", "ALTER TABLE h11_part SET UNLOGGED", "CREATE UNLOGGED TABLE u (id int)",
                      "CREATE UNLOGGED TABLE u PARTITION OF h11_parts FOR VALUES IN (2)", "CREATE UNLOGGED SEQUENCE u",
                      "ALTER SEQUENCE h11_sequence SET UNLOGGED", "ALTER TABLE h11 ADD x int, SET UNLOGGED",
                      "SELECT 1 AS id INTO UNLOGGED u"):
        for member in c.members():
            check(sqlstate(lambda s=statement, m=member: c.run(m, s)) in ("0A000", "42809"), f"{statement} on member {member}")
        check(sqlstate(lambda s=statement: c.run(2, "BEGIN", "INSERT INTO h11 VALUES (1)", s, "COMMIT")) in ("0A000", "42809"), f"{statement} in a block")
        check(sqlstate(lambda s=statement: c.run(3, f"DO $$ BEGIN EXECUTE '{s}'; END $$")) in ("0A000", "42809"), f"{statement} in DO")
    rows_everywhere(c, "h11", [])
    everywhere(c, "SELECT relname FROM pg_class WHERE relpersistence = 'u'", [], "unlogged relations")


@suite.test
def h11_capture_starts_in_the_middle(c):
    """The WAL of the first half is behind the new capture: the transaction is refused as a whole, and quickly."""
    with transaction(c, 2, "INSERT INTO h11 VALUES (1)") as half, \
            transaction(c, 2, "INSERT INTO h11 VALUES (11)", "SAVEPOINT s", "INSERT INTO h11 VALUES (12)") as nested, \
            transaction(c, 2, "SELECT 1") as late:
        generation = worker_pid(c, 2, "capture")
        end_worker(c, 2, "capture")
        eventually(lambda: worker_pid(c, 2, "capture") not in (None, generation), 20, "another capture worker")
        half.cursor().execute("INSERT INTO h11 VALUES (2)")
        nested.cursor().execute("RELEASE SAVEPOINT s; INSERT INTO h11 VALUES (13)")
        commits = [commit_in_background(x) for x in (half, nested)]
        for commit in commits:
            check(commit.result(15) in (CONFLICT, "DA002"), "a transaction that capture has seen half of")
        c.wait_ready()
        late.cursor().execute("INSERT INTO h11 VALUES (3)")
        equal(sqlstate(late.commit), None, "one that wrote only after the start")
    rows_everywhere(c, "h11", [3])


@suite.test
def h11_definition_while_capture_starts(c):
    """PostgreSQL does not see what changes catalogs while it waits for the transactions that ran when a slot was made, and keeps the snapshot that the
    first change after that has made: rows were read by old columns. Here a definition lasts until it waits no more."""
    c.run(1, "CREATE TABLE h11_grown (id int PRIMARY KEY)", "INSERT INTO h11_grown VALUES (1)",
          "CREATE FUNCTION h11_slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN $1; END'")
    c.settle()

    @contextlib.contextmanager
    def logged(what):
        before = c.log(3).count(what)
        yield
        eventually(lambda: c.log(3).count(what) > before, 20, what)
    with transaction(c, 3, "SELECT pg_current_xact_id()") as older:
        with logged("found initial starting point"):
            end_worker(c, 3, "capture")
        growth = Background(c.run, 1, "ALTER TABLE h11_grown ADD COLUMN v int, ADD CHECK (h11_slow(id) > 0)")
        eventually(lambda: c.value(3, "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'h11_grown'::regclass AND mode = 'AccessExclusiveLock' AND granted"), 20, "member 3 executes it")
        with logged("found initial consistent point"):
            older.rollback()
        growth.result(30)
    c.wait_ready()
    check("capture starts again" in c.log(3), "it has begun anew")
    c.run(3, OWNER, "INSERT INTO h11_grown VALUES (2, 2)")
    everywhere(c, "SELECT * FROM h11_grown ORDER BY 1", [(1, None), (2, 2)], "the rows")


@suite.test
def h11_uncounted_changes(c):
    """track_counts off for a while: what the session counted would not be what is captured."""
    refused(c, "55000", "BEGIN", "SET LOCAL track_counts = off", "INSERT INTO h11 VALUES (4)", "COMMIT")
    refused(c, "55000", "BEGIN", "SET LOCAL track_counts = off", "INSERT INTO h11 VALUES (4)", "SET LOCAL track_counts = on",
            "INSERT INTO h11 VALUES (5)", "COMMIT", member=3)
    rows_everywhere(c, "h11", [3])


@suite.test
def h12_deferrable_unique(c):
    c.run(1, "CREATE TABLE ranked (id int PRIMARY KEY, rank int UNIQUE DEFERRABLE INITIALLY DEFERRED, span int4range, "
             "EXCLUDE USING gist (span WITH &&) DEFERRABLE INITIALLY DEFERRED)",
          "INSERT INTO ranked SELECT i, i FROM generate_series(1, 50) i")
    c.settle()
    for i in c.members():
        c.run(i, "UPDATE ranked SET rank = rank + 1")
        c.settle()
    everywhere(c, "SELECT min(rank), max(rank), count(DISTINCT rank) FROM ranked", [(5, 54, 50)], "rank + 1 by each member")
    violated = ("23505", "23P01", CONFLICT)
    one_wins(race(c, "INSERT INTO ranked VALUES (101, 500)", "INSERT INTO ranked VALUES (102, 500)"), "two inserts", violated)
    one_wins(race(c, "UPDATE ranked SET rank = 600 WHERE id = 1", "UPDATE ranked SET rank = 600 WHERE id = 2"), "two updates", violated)
    one_wins(race(c, "UPDATE ranked SET span = '[1,5)' WHERE id = 1", "UPDATE ranked SET span = '[4,9)' WHERE id = 2"), "exclusion", violated)
    equal(sqlstate(lambda: c.run(3, "INSERT INTO ranked VALUES (103, 500)")), "23505", "a duplicate")


@suite.test
def h12_checked_before_a_remote_duplicate(c):
    """The deferred check passes at t1, a remote duplicate is applied at t2, COMMIT at t3 takes a base that covers it."""
    for k, check_now in enumerate(("SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")):
        with transaction(c, 1, f"INSERT INTO ranked VALUES ({200 + k}, {700 + k})", check_now) as first:
            second = Background(sqlstate, lambda k=k: c.run(2, f"INSERT INTO ranked VALUES ({300 + k}, {700 + k})"))
            equal(second.result(30), None, "the remote duplicate, which is ordered first")
            c.settle()
            check(sqlstate(first.commit) in LOST | {"23505"}, "the one that was checked before")
    everywhere(c, "SELECT id FROM ranked WHERE rank >= 700 ORDER BY 1", [(300,), (301,)], "those that stayed")


@suite.test
def h13_equal_and_not_the_same(c):
    c.run(1, "CREATE TABLE full_rows (v numeric)", "INSERT INTO full_rows VALUES (1.0), (1.00)",
          "CREATE TABLE scaled (v numeric PRIMARY KEY, n int)", "INSERT INTO scaled VALUES (1.0, 0), (2.000, 0)")
    c.settle()
    for member in (1, 4):
        refused(c, "0A000", "ALTER TABLE full_rows REPLICA IDENTITY FULL", member=member)
        refused(c, "0A000", "BEGIN", "ALTER TABLE full_rows REPLICA IDENTITY FULL", "COMMIT", member=member)
        refused(c, "55000", "DELETE FROM full_rows WHERE v = 1", member=member)
        refused(c, "0A000", "CREATE COLLATION blind (provider = icu, locale = 'und', deterministic = false)", member=member)
        equal(c.value(member, "SELECT relreplident FROM pg_class WHERE relname = 'full_rows'"), "d", "replica identity")
    # Keys that are equal and not the same: named by either spelling, stored as they were written.
    one_wins(race(c, "UPDATE scaled SET n = 1 WHERE v = 1.00", "DELETE FROM scaled WHERE v = 1.000"), "one row by two spellings")
    one_wins(race(c, "INSERT INTO scaled VALUES (5.0, 1)", "INSERT INTO scaled VALUES (5.00, 2)"), "one key by two spellings")
    c.settle()
    c.run(3, "UPDATE scaled SET v = 2.0 WHERE v = 2")
    everywhere(c, "SELECT v::text FROM scaled WHERE v = 2", [("2.0",)], "the spelling of the key")


# A type of a unique column, two spellings of one value, and whether it can be inserted twice on two members.
H14_TYPES = {"h14_mood": ("'ok'", "'ok'"), "bit(3)": ("B'101'", "B'101'"), "varbit": ("B'1'", "B'1'"), "money": ("'1.50'", "'$1.5'"),
             "numeric": ("1.0", "1.000"), "char(5)": ("'ab'", "'ab  '"), "bpchar": ("'ab'", "'ab  '"),
             "float8": ("0", "'-0'"), "interval": ("'24 hours'", "'1 day'"),
             "timestamptz": ("'2024-01-01 00:00+00'", "'2024-01-01 05:30+05:30'"), "jsonb": ("'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
             "inet": ("'10.0.0.1'", "'10.0.0.1/32'"), "h14_mood[]": ("'{ok,sad}'", "'{ok,sad}'"), "h14_pair": ("'(1.0,ok)'", "'(1.00,ok)'"),
             "numrange": ("'[1.0,2)'", "'[1.00,2)'"), "timetz": ("'12:00+00'", "'12:00+00'"), "uuid": ("gen_random_uuid()", None)}


@suite.test
def h14_key_hashes_by_type(c):
    """Equal values meet whatever their OIDs, scale or padding: the second is a conflict, found by its key alone."""
    for member in (2, 3):  # so that OIDs differ between members
        c.run(member, *[f"CREATE TEMP TABLE consume{k} (a int)" for k in range(7 * member)])
    c.run(1, "CREATE TYPE h14_mood AS ENUM ('sad', 'ok')")
    c.run(1, "CREATE TYPE h14_pair AS (a numeric, m h14_mood)")
    for k, kind in enumerate(H14_TYPES):
        c.run(1, f"CREATE TABLE h14_{k} (id int PRIMARY KEY, v {kind} UNIQUE)")
    c.settle()
    labels = [c.run(i, "SELECT oid FROM pg_enum WHERE enumtypid = 'h14_mood'::regtype ORDER BY 1") for i in c.members()]
    check(len(set(map(str, labels))) > 1, "the members' OIDs are the same: nothing is tested")
    for k, (kind, (one, other)) in enumerate(H14_TYPES.items()):
        results = race(c, f"INSERT INTO h14_{k} VALUES (1, {one})", f"INSERT INTO h14_{k} VALUES (2, {other or one})")
        if other is None:
            equal(results, [None, None], f"different values of {kind}")
        else:
            one_wins(results, f"{one} and {other} of {kind}")


@suite.test
def h14_key_hashes_across_tables(c):
    """A child's value hashes as its parent's: of another type, of a partition, of a domain."""
    c.run(1, "CREATE DOMAIN h14_code AS text", "CREATE TABLE wide (id numeric PRIMARY KEY, t text UNIQUE, b bigint UNIQUE, ts timestamp UNIQUE)",
          "CREATE TABLE narrow (id int PRIMARY KEY, i int REFERENCES wide, c char(5) REFERENCES wide (t), d h14_code REFERENCES wide (t), "
          "s smallint REFERENCES wide (b), day date REFERENCES wide (ts))",
          "INSERT INTO wide SELECT i, 't' || i, i, date '2024-01-01' + i FROM generate_series(1, 9) i",
          "CREATE TABLE h14_root (y int, id int, PRIMARY KEY (y, id)) PARTITION BY RANGE (y)",
          "CREATE TABLE h14_leaf PARTITION OF h14_root FOR VALUES FROM (0) TO (10)",
          "CREATE TABLE h14_child (id int PRIMARY KEY, y int, x int, FOREIGN KEY (y, x) REFERENCES h14_root)",
          "INSERT INTO h14_root SELECT 1, i FROM generate_series(1, 9) i")
    for k, (column, value, parent) in enumerate((("i", "1", "id = 1"), ("c", "'t2'", "id = 2"), ("d", "'t3'", "id = 3"), ("s", "4", "id = 4"),
                                                 ("day", "'2024-01-06'", "id = 5"))):
        one_wins(race(c, f"INSERT INTO narrow (id, {column}) VALUES ({k}, {value})", f"DELETE FROM wide WHERE {parent}"), f"child by {column}")
    one_wins(race(c, "INSERT INTO narrow (id, c) VALUES (20, 't6')", "UPDATE wide SET t = 'other' WHERE id = 6"), "child and its parent's new key")
    # Another key of the parent's is no conflict of keys; but Postgres locks the whole row for it, so the one that is second may have to yield.
    results = race(c, "INSERT INTO narrow (id, i) VALUES (21, 7)", "UPDATE wide SET t = 'seven' WHERE id = 7")
    check(results in ([None, None], [CONFLICT, None], [None, CONFLICT]), f"another key of the parent: {results}")
    one_wins(race(c, "INSERT INTO h14_child VALUES (1, 1, 1)", "DELETE FROM h14_leaf WHERE id = 1"), "child of the root, parent by its leaf")
    one_wins(race(c, "INSERT INTO h14_root VALUES (2, 1)", "INSERT INTO h14_leaf VALUES (2, 1)"), "one row by root and leaf")
    one_wins(race(c, "UPDATE h14_root SET y = 3 WHERE id = 2", "DELETE FROM h14_leaf WHERE id = 2"), "one row by root and leaf, changed")


def statistics_change_while_a_plan_is_made(c, member, write):
    """The apply worker of the member waits for a parent's lock while it looks at a child; then hears that the relation cache of both is out of date."""
    c.settle()
    holder = c.connect(member, autocommit=False)
    c.run(member, "ANALYZE plan_parent", "ANALYZE plan_child")
    holder.cursor().execute("LOCK TABLE plan_parent IN ACCESS EXCLUSIVE MODE")
    apply_pid, waited, observer = worker_pid(c, member, "apply"), False, c.connect(member)
    writer = Background(c.run, 1, write)
    with observer.cursor() as cursor:
        until = time.monotonic() + 3
        while time.monotonic() < until and not waited:  # the holder is sent away after 250 ms
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted AND relation = 'plan_parent'::regclass", (apply_pid,))
            waited = cursor.fetchone()[0] == 1
            if waited:
                cursor.execute("VACUUM plan_child")  # what ANALYZE would say of it is known; that all is visible is new
            time.sleep(0.001)
    observer.close()
    writer.result(60)
    with contextlib.suppress(psycopg2.Error):
        holder.rollback()
    holder.close()
    return waited


@suite.test
def h14_keys_while_statistics_change(c):
    """What is read of a relation is from one version of it, also if others make the cache read it again meanwhile: no foreign key is left out of the keys.

    PostgreSQL frees a relation's triggers when it reads them again, and gives the room to the next ones that it reads: here the parent's.
    """
    c.run(1, "CREATE TABLE plan_parent (id int PRIMARY KEY)", "CREATE TABLE plan_second (id int PRIMARY KEY)",
          "CREATE TABLE plan_child (id int PRIMARY KEY, a int REFERENCES plan_parent, b int REFERENCES plan_second)",
          "CREATE TABLE plan_other (id int PRIMARY KEY, a int REFERENCES plan_parent)",
          "INSERT INTO plan_parent VALUES (1)", "INSERT INTO plan_second VALUES (1)", "INSERT INTO plan_child VALUES (0, 1, 1)")
    met = k = 0
    while met < 4 and k < 30:
        k += 1
        met += statistics_change_while_a_plan_is_made(c, 2, f"INSERT INTO plan_child VALUES ({k}, 1, 1)")
    c.settle()
    check(met > 0, "the apply worker has waited for the parent")
    keys = {i: c.run(i, "SELECT height, index, md5(keys) FROM dadbs_internal.transaction ORDER BY height DESC, index DESC LIMIT 8") for i in c.members()}
    for i in c.members():
        equal(keys[i], keys[1], f"the keys of member {i}")


@suite.test
def h17_check_that_writes(c):
    """A function that claims to be immutable and has another one insert: its rows would be written twice, or not at all."""
    c.run(1, "CREATE TABLE h17_log (id bigserial PRIMARY KEY, i int)",
          "CREATE FUNCTION h17_note(int) RETURNS bool VOLATILE LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.h17_log (i) VALUES ($1); RETURN true; END'",
          "CREATE FUNCTION h17_fine(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.h17_note($1); END'",
          "CREATE TABLE h17 (id int PRIMARY KEY CHECK (h17_fine(id)))", "CREATE DOMAIN h17_domain AS int CHECK (h17_fine(VALUE))",
          "CREATE TABLE h17_typed (id h17_domain PRIMARY KEY)", "CREATE TABLE h17_made (id int PRIMARY KEY, g bool GENERATED ALWAYS AS (h17_fine(id)) STORED)",
          "CREATE TABLE h17_keyed (id int PRIMARY KEY)", "CREATE INDEX ON h17_keyed (h17_fine(id))", "CREATE TABLE h17_partial (id int PRIMARY KEY)",
          "CREATE INDEX ON h17_partial (id) WHERE h17_fine(id)")
    c.settle()
    for table in ("h17", "h17_typed", "h17_made", "h17_keyed", "h17_partial"):
        for member in (1, 3):
            state = sqlstate(lambda t=table, m=member: c.run(m, OWNER, f"INSERT INTO {t} (id) VALUES ({m})"))
            check(state is not None and state.startswith(("0A", "23", "25", "42", "DA005")), f"{table} on member {member}: {state}")
        everywhere(c, f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM h17_log)", [(0, 0)], table)


if __name__ == "__main__":
    suite.main()
