"""Positions at which the stack ends, or an internal error comes, on all members, or on some: they are decided by votes on the chain, alike everywhere, and soon.

Member 4's server is built with test/modules/liar: it may have less stack than the others, or say what is not so.
"""
import os
import signal
import time

from clients import Background, everywhere, paused
from harness import Suite, check, equal, error_of, eventually, sqlstate, worker_pid
from liar_test import LIAR, begin, lying, restart

DEEP = 200_000                # no stack that PostgreSQL can be given on these machines is enough
SOON = 30                     # for all members to agree, on a loaded machine
BOUNDED = "SET dadbs.commit_timeout = '60s'"
VOTES = "SELECT count(*) FROM dadbs.changes WHERE operation = 'VOTE'"

BLOCKS_AHEAD = 100            # that a member fetches and has not applied

suite = Suite("impasse", port=9540, begin=begin, confs=(f"dadbs.max_apply_lag = {BLOCKS_AHEAD}",))


def nested(depth):
    return f"repeat('[', {depth}) || repeat(']', {depth})"


def tables(c, name, depth):
    c.run(1, f"CREATE TABLE {name} (id int PRIMARY KEY, s text, n int NOT NULL DEFAULT {depth})",
          f"INSERT INTO {name} VALUES (1, '[]', 1), (2, {nested(depth)}, {depth})")
    c.settle()


def goes_on(c, key):
    """Each member takes writes, and all see them."""
    c.run(1, "CREATE TABLE IF NOT EXISTS live (id int PRIMARY KEY)")
    c.settle()
    for i in c.members():
        c.run(i, BOUNDED, f"INSERT INTO live VALUES ({10 * key + i})")
    c.settle()


def catch_up(c, member, other):
    """One member has applied what another has; a third may be down."""
    c.run(member, f"SELECT dadbs.wait_for({c.value(other, 'SELECT dadbs.applied_height()')})")


def depth_for(c, limit):
    """Levels of json that a session can read with that much stack, and not many more."""
    def reads(depth):
        return sqlstate(lambda: c.run(1, f"SET max_stack_depth = '{limit}'", f"SELECT ({nested(depth)})::jsonb IS NULL")) is None
    low, high = 1_000, DEEP
    while high - low > 50:
        middle = (low + high) // 2
        low, high = (middle, high) if reads(middle) else (low, middle)
    return low


@suite.test
def definitions_that_nobody_can_execute(c):
    """Expressions over rows that are there: the statement fails with 54001 on all members, and the chain goes on."""
    c.run(1, "CREATE TABLE live (id int PRIMARY KEY)")
    tables(c, "deep", DEEP)
    statements = ("ALTER TABLE deep ADD CHECK (s::jsonb IS NOT NULL)", "CREATE INDEX ON deep ((s::jsonb))", "ALTER TABLE deep ALTER s TYPE jsonb USING s::jsonb",
                  "ALTER TABLE deep ADD CHECK ((repeat('[', n) || repeat(']', n))::json IS NOT NULL)", "ALTER TABLE deep ADD CHECK ('x' ~ (repeat('(', n) || repeat(')', n)))",
                  f"ALTER TABLE deep ADD COLUMN d jsonb DEFAULT ({nested(DEEP)})::jsonb", f"CREATE INDEX ON live ((({nested(DEEP)})::jsonb))")
    for k, statement in enumerate(statements):
        member = 1 + k % 3
        began = time.monotonic()
        equal(sqlstate(lambda: c.run(member, BOUNDED, statement)), "54001", statement)
        took = time.monotonic() - began
        goes_on(c, k)
        print(f"# {took:.2f} s: {statement[:80]}", flush=True)
        check(took < SOON, f"{statement}: {took:.1f} s")
        everywhere(c, "SELECT verdict, sqlstate FROM dadbs.transactions WHERE sqlstate IS NOT NULL ORDER BY height DESC, position DESC LIMIT 1",
                   [("rejected", "54001")], statement)
    everywhere(c, "SELECT count(*) FROM dadbs.transactions WHERE sqlstate = '54001'", [(len(statements),)], "all of them")
    c.run(2, "DELETE FROM deep WHERE id = 2", "ALTER TABLE deep ALTER s TYPE jsonb USING s::jsonb")
    everywhere(c, "SELECT s FROM deep", [([],)], "once the row is gone")


@suite.test
def definitions_with_an_internal_error(c):
    """PostgreSQL raises XX000 for what an owner may write: that ends as any other error, on all members."""
    c.run(1, "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10)",
          "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
          "CREATE TRIGGER t AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION quiet()")
    c.run(1, "CREATE TABLE whole (f1 int, f2 int, PRIMARY KEY (f1, f2))", "CREATE TABLE refers (f1 int, f2 int) PARTITION BY LIST (f1)",
          "CREATE TABLE refers1 PARTITION OF refers FOR VALUES IN (1)", "ALTER TABLE refers ADD CONSTRAINT known FOREIGN KEY (f1, f2) REFERENCES whole",
          "CREATE TABLE IF NOT EXISTS live (id int PRIMARY KEY)")
    c.settle()
    equal(sqlstate(lambda: c.run(1, BOUNDED, "ALTER SEQUENCE parted CYCLE")), "42809", "a table is no sequence")
    statements = (("ALTER TRIGGER t ON part RENAME TO u", "cannot rename trigger"), ("ALTER TABLE refers1 ALTER CONSTRAINT known DEFERRABLE", "cannot alter constraint"),
                  ("ALTER TABLE live ADD CHECK (satisfies_hash_partition(0, 4, 0, id))", "could not open relation"))
    for k, (statement, message) in enumerate(statements):
        began = time.monotonic()
        error = error_of(lambda: c.run(1 + k % 3, BOUNDED, statement))
        took = time.monotonic() - began
        print(f"# {took:.2f} s: {str(error).splitlines()}", flush=True)
        equal(error.pgcode, "XX000", statement)
        check(message in str(error), f"the message: {error}")
        check(took < SOON, f"{took:.1f} s")
        everywhere(c, "SELECT verdict, sqlstate FROM dadbs.transactions WHERE sqlstate IS NOT NULL ORDER BY height DESC, position DESC LIMIT 1",
                   [("rejected", "XX000")], statement)
        goes_on(c, 20 + k)
    everywhere(c, "SELECT count(*) FROM dadbs.transactions WHERE sqlstate = 'XX000'", [(len(statements),)], "all of them")


@suite.test
def stack_and_then_an_internal_error(c):
    """Who gets past the end of the usual stack meets the error that nobody gets past: that is a vote, too."""
    depth = depth_for(c, "5MB") * 13 // 10
    tables(c, "mixed", depth)
    c.run(1, "DELETE FROM mixed WHERE id = 1")
    statement = "ALTER TABLE mixed ADD CHECK (s::jsonb IS NOT NULL AND satisfies_hash_partition(0, 4, 0, id))"
    began = time.monotonic()
    code = sqlstate(lambda: c.run(2, BOUNDED, statement))
    print(f"# {time.monotonic() - began:.2f} s: {code} at depth {depth}", flush=True)
    check(code in ("54001", "XX000"), f"{code}")
    goes_on(c, 30)
    c.run(1, "DROP TABLE mixed")


@suite.test
def one_member_with_a_damaged_catalog(c):
    """The others have executed it: it is not made to fail there, and the member says what it waits for until it is mended."""
    c.run(1, "CREATE TYPE mood AS ENUM ('well')", "CREATE TABLE moods (id int PRIMARY KEY, m mood)")
    c.settle()
    with c.connect(3).cursor() as files:
        files.execute("SET allow_system_table_mods = on")
        files.execute("CREATE TEMP TABLE gone AS SELECT * FROM pg_type WHERE typname = '_mood'")
        files.execute("DELETE FROM pg_type WHERE typname = '_mood'")
        votes = c.value(1, VOTES)
        internal = c.value(1, "SELECT count(*) FROM dadbs.transactions WHERE sqlstate = 'XX000'")
        try:
            c.run(1, "ALTER TYPE mood RENAME TO spirits")
            eventually(lambda: "cache lookup failed for type" in c.value(3, "SELECT coalesce(reason, '') FROM dadbs.status"), SOON, "it says what it retries")
            eventually(lambda: c.value(1, VOTES) >= votes + 3, SOON, "its vote, and the answers of two who have executed it")
            for i in (1, 2, LIAR):
                c.run(i, BOUNDED, f"INSERT INTO live VALUES ({5100 + i})")
        finally:
            files.execute("INSERT INTO pg_type SELECT * FROM gone")
            files.connection.close()
    c.settle()
    everywhere(c, "SELECT count(*) FROM dadbs.transactions WHERE sqlstate = 'XX000'", [(internal,)], "errors of others")
    everywhere(c, "SELECT typname FROM pg_type WHERE typname IN ('mood', '_mood', 'spirits', '_spirits') ORDER BY 1", [("_spirits",), ("spirits",)], "the types")
    goes_on(c, 12)


@suite.test
def proposals_and_a_member_that_is_away(c):
    """A proposal's statement is decided by those that are there; who comes back decides the same from the blocks."""
    tables(c, "proposed", DEEP)
    c.stop_member(3)
    try:
        proposal = c.run(1, "SELECT dadbs.propose('ALTER TABLE proposed ADD CHECK (s::jsonb IS NOT NULL)', 'a comment')")[0][0]
        catch_up(c, 2, 1)
        c.run(2, f"SELECT dadbs.approve_proposal({proposal})")
        catch_up(c, LIAR, 2)
        equal(sqlstate(lambda: c.run(LIAR, BOUNDED, f"SELECT dadbs.approve_proposal({proposal})")), "54001", "the approval that would execute it")
        for i in (1, 2, LIAR):
            c.run(i, BOUNDED, f"INSERT INTO live VALUES ({1000 + i})")
    finally:
        c.start_member(3)
    c.wait_ready()
    goes_on(c, 101)
    everywhere(c, f"SELECT state, approved_by FROM dadbs.proposals WHERE id = {proposal}", [("open", ["m1", "m2"])], "the proposal")


@suite.test
def killed_while_it_is_decided(c):
    """A server dies between its vote and the decision: it finds the votes again, and decides as the others do."""
    tables(c, "killed", DEEP)
    with paused(c, 2), paused(c, 3):
        statement = Background(lambda: sqlstate(lambda: c.run(1, BOUNDED, "ALTER TABLE killed ADD CHECK (s::jsonb IS NOT NULL)")))
        for i in (1, LIAR):
            eventually(lambda: "2 of the 3 members that are needed" in c.value(i, "SELECT coalesce(reason, '') FROM dadbs.status"), SOON, "two votes")
        c.kill(LIAR)
        check(statement.waits(), "it was decided by two")
    restart(c, running=False)
    equal(statement.result(SOON), "54001", "the statement")
    goes_on(c, 102)


@suite.test
def all_need_more_than_usual(c):
    """Between the usual limit and the one that is asked for, all say that they can, and it is executed."""
    tables(c, "band", depth_for(c, "6350kB"))
    before = c.value(2, VOTES)
    equal(sqlstate(lambda: c.run(2, BOUNDED, "ALTER TABLE band ADD CHECK (s::jsonb IS NOT NULL)")), None, "ALTER TABLE")
    goes_on(c, 103)
    check(c.value(2, VOTES) >= before + 3, "nobody was asked")
    everywhere(c, "SELECT count(*) FROM pg_constraint WHERE conrelid = 'band'::regclass AND contype = 'c'", [(1,)], "the constraint")


@suite.test
def one_has_less_stack(c):
    """Those that have passed the position already say so; the one that has not is carried along, whatever it has voted itself."""
    depth = depth_for(c, "4500kB")
    for k, lies in enumerate((["stack 3MB"], ["stack 3MB", "vote 0"])):
        tables(c, f"less{k}", depth)
        votes = c.value(1, VOTES)
        with lying(c, *lies):
            restart(c)
            equal(sqlstate(lambda: c.run(1, BOUNDED, f"ALTER TABLE less{k} ADD CHECK (s::jsonb IS NOT NULL)")), None, "ALTER TABLE")
            goes_on(c, 104 + k)
        check(c.value(1, VOTES) >= votes + 3, "nobody was asked")
        everywhere(c, f"SELECT count(*) FROM pg_constraint WHERE conrelid = 'less{k}'::regclass AND contype = 'c'", [(1,)], "the constraint")
    restart(c)


@suite.test
def a_session_with_more_stack(c):
    """What it takes for true with its stack is found by all with theirs: its rows are not its own to commit."""
    c.run(1, "CREATE TABLE more (id int PRIMARY KEY, s text CHECK (s::jsonb IS NOT NULL))")
    c.settle()
    depth = depth_for(c, "6900kB")
    state = sqlstate(lambda: c.run(1, BOUNDED, "SET max_stack_depth = '7MB'", f"INSERT INTO more VALUES (1, {nested(depth)})"))
    equal(state, "54001", "INSERT")
    goes_on(c, 107)
    everywhere(c, "SELECT count(*) FROM more", [(0,)], "rows")


@suite.test
def one_that_was_away(c):
    """The others have passed the position long ago, and more blocks than it fetches ahead; it asks, and they answer it."""
    depth = depth_for(c, "4500kB")
    tables(c, "away", depth)
    with lying(c, "stack 3MB"):
        c.stop_member(LIAR)
        c.run(1, "ALTER TABLE away ADD CHECK (s::jsonb IS NOT NULL)", "CREATE TABLE many (id int PRIMARY KEY)")
        writer = c.connect(1)
        for k in range(BLOCKS_AHEAD + 50):
            writer.cursor().execute(f"INSERT INTO many VALUES ({k})")
        writer.close()
        restart(c, running=False)
        goes_on(c, 108)
    restart(c)
    equal(c.value(LIAR, "SELECT count(*) FROM many"), BLOCKS_AHEAD + 50, "rows")


@suite.test
def two_at_once(c):
    """One member waits at a first position, where the others wait at a second one: they answer it, and both are decided."""
    depth = depth_for(c, "4500kB")
    tables(c, "first", depth)
    tables(c, "second", DEEP)
    with lying(c, "stack 3MB"):
        restart(c)
        with paused(c, LIAR):
            equal(sqlstate(lambda: c.run(1, BOUNDED, "ALTER TABLE first ADD CHECK (s::jsonb IS NOT NULL)")), None, "the first")
            with paused(c, 3):  # so that the second needs the one that is behind
                second = Background(lambda: sqlstate(lambda: c.run(2, BOUNDED, "ALTER TABLE second ADD CHECK (s::jsonb IS NOT NULL)")))
                eventually(lambda: "2 of the 3" in c.value(2, "SELECT coalesce(reason, '') FROM dadbs.status"), SOON, "two votes on the second")
                os.kill(worker_pid(c, LIAR, "apply"), signal.SIGCONT)
                equal(second.result(SOON), "54001", "the second")
        goes_on(c, 109)
    restart(c)


@suite.test
def votes_end(c):
    """Nobody goes on voting on what is decided."""
    c.settle()
    before = c.value(1, VOTES)
    time.sleep(5)
    c.settle()
    equal(c.value(1, VOTES), before, "votes")


@suite.test
def caught_by_a_function(c):
    """A function of a CHECK that catches every error does not take the end of one member's stack for its answer."""
    handlers = ("RETURN false", "NULL")
    for k, handler in enumerate(handlers):
        tables(c, f"source{k}", depth_for(c, "4500kB"))
        c.run(1, f"CREATE FUNCTION is_json{k}(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN BEGIN PERFORM t::jsonb; RETURN true; "
                 f"EXCEPTION WHEN OTHERS THEN {handler}; END; RETURN false; END$$",
              f"CREATE TABLE caught{k} (id int PRIMARY KEY, s text CHECK (NOT is_json{k}(s)))")
    with lying(c, "stack 3MB"):
        restart(c)
        states = [sqlstate(lambda k=k: c.run(1, BOUNDED, "SET ROLE dadbs_owner",
                                             f"INSERT INTO caught{k} SELECT id, s FROM source{k} WHERE id = 2")) for k in range(len(handlers))]
        goes_on(c, 106)
    equal(states, ["23514", "0A000"], "what the CHECK says, and a handler that does nothing")
    restart(c)
    everywhere(c, "SELECT (SELECT count(*) FROM caught0), (SELECT count(*) FROM caught1)", [(0, 0)], "rows")


@suite.test
def one_that_lies_decides_nothing(c):
    """It says that it can what nobody can, votes on what has long been decided and on what will never be."""
    tables(c, "lied", DEEP)
    with lying(c, "vote 1"):
        equal(sqlstate(lambda: c.run(2, BOUNDED, "ALTER TABLE lied ADD CHECK (s::jsonb IS NOT NULL)")), "54001", "ALTER TABLE")
        goes_on(c, 110)
    tables(c, "elsewhere", DEEP)
    with lying(c, "vote_at -50"):
        equal(sqlstate(lambda: c.run(3, BOUNDED, "CREATE INDEX ON elsewhere ((s::jsonb))")), "54001", "CREATE INDEX")
        goes_on(c, 111)


@suite.test
def rows_that_no_session_would_make(c):
    """A CHECK over a value that only a lying origin sends: rejected alike, and counted against nobody but its transaction."""
    c.run(1, "CREATE TABLE checked (id int PRIMARY KEY, s text CHECK (s::jsonb IS NOT NULL))")
    c.settle()
    goes_on(c, 119)
    with lying(c, f"value checked 2 {'[' * DEEP}{']' * DEEP}"):
        state = sqlstate(lambda: c.run(LIAR, BOUNDED, "SET session_replication_role = replica", "INSERT INTO checked VALUES (1, '[]')"))
    equal(state, "54001", "what its client is told")
    goes_on(c, 120)
    c.run(LIAR, "INSERT INTO checked VALUES (1, '[[]]')")
    everywhere(c, "SELECT s FROM checked", [("[[]]",)], "rows")


if __name__ == "__main__":
    suite.main()
