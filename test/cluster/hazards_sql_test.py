"""Hazards of SQL (docs/testing.md): isolation, local objects, roles, definitions, constraints, sequences."""
from harness import CONFLICT, HELD, UNKNOWN, Cluster, Suite, check, equal, eventually, sqlstate
from hazards import (InBackground, await_hold, execute, forced_out, one_wins, pid_of, race, same_everywhere, standing_still)
from wire import Wire

suite = Suite("hazards_sql", port=7900, confs=HELD)


def refused(c, expected, *statements, member=1, user="postgres"):
    """The last statement is refused, with a hint or detail where it is not simply unsupported by Postgres."""
    session = c.connect(member, user)
    try:
        execute(session, *statements[:-1])
        action = InBackground(lambda: execute(session, statements[-1]))
        equal(action.outcome(), expected, f"SQLSTATE of {statements[-1]} on member {member}: {action.text}")
        return action.text
    finally:
        session.close()


@suite.test
def h31_serializable_forced_out(c):
    """Forced out after the hand-over it is told the chain's outcome, not 40001: it would be done twice."""
    c.run(1, "CREATE TABLE s31 (id int PRIMARY KEY, v int)", "CREATE TABLE done31 (id int)", "INSERT INTO s31 VALUES (1, 0), (2, 0)")
    c.settle()
    refused(c, "0A000", "BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT INTO done31 VALUES (0)", "COMMIT")
    for k, level in enumerate(("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")):
        session = c.connect(4, autocommit=False)
        execute(session, "SET dadbs.accept_snapshot_isolation = on")
        session.commit()
        execute(session, f"SET TRANSACTION ISOLATION LEVEL {level}", "SELECT * FROM s31 WHERE id = 1 FOR UPDATE",
                f"INSERT INTO done31 VALUES ({k + 1})")
        commit = forced_out(c, session, 4, (2, "UPDATE s31 SET v = v + 1 WHERE id = 1"))
        equal(commit.error, None, f"COMMIT of {level}: {commit.text}")
        equal(execute(session, "SELECT dadbs.transaction_status(dadbs.last_transaction_id())"), [("committed",)], "its status")
        session.close()
    same_everywhere(c, "SELECT id FROM done31 ORDER BY 1", [(1,), (2,), (3,)], "each was done once")


@suite.test
def h31_write_skew(c):
    """Refused by default with a word; accepted it is snapshot isolation between members, and SSI on each."""
    both = "SELECT sum(v) FROM s31 WHERE id IN (11, 12)"
    begin = ["SET dadbs.accept_snapshot_isolation = on", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]
    c.run(1, "INSERT INTO s31 VALUES (11, 1), (12, 1)")
    c.settle()
    text = refused(c, "0A000", "BEGIN ISOLATION LEVEL SERIALIZABLE", both, "UPDATE s31 SET v = 0 WHERE id = 11", "COMMIT", member=2)
    check("accept_snapshot_isolation" in text, f"the hint names the setting: {text}")
    skew = [[*begin, both, f"UPDATE s31 SET v = 0 WHERE id = {i}"] for i in (11, 12)]
    states = race(c, *skew, members=(3, 3))
    one_wins(states, "write skew on one member")
    equal(race(c, *skew, members=(1, 2)), [None, None], "write skew between members (limitations.md)")
    one_wins(race(c, skew[0], skew[0]), "two that write the same row")


@suite.test
def h32_temporary_half(c):
    """Shared rows and a temporary table in one transaction: forced out, it says what was lost."""
    c.run(1, "CREATE TABLE o32 (id int PRIMARY KEY)", "CREATE TABLE lock32 (id int PRIMARY KEY, v int)",
          "INSERT INTO lock32 VALUES (1, 0)")
    c.settle()
    session = c.connect(4, autocommit=False)
    execute(session, "CREATE TEMPORARY TABLE audit (id int)")
    session.commit()
    work = ["SELECT * FROM lock32 FOR UPDATE", "INSERT INTO o32 VALUES (%d)", "INSERT INTO audit VALUES (%d)"]
    execute(session, *[s.replace("%d", "1") for s in work])
    session.commit()
    execute(session, *[s.replace("%d", "2") for s in work])
    commit = forced_out(c, session, 4, (2, "UPDATE lock32 SET v = v + 1"))
    equal(commit.error, UNKNOWN, "COMMIT of a transaction whose temporary half was lost")
    check("committed, but" in commit.text and "local part" in commit.text, f"it says what was kept and lost: {commit.text}")
    session.rollback()
    equal(execute(session, "SELECT id FROM audit"), [(1,)], "the temporary table")
    equal(execute(session, "SELECT dadbs.transaction_status(dadbs.last_transaction_id())"), [("committed",)], "the shared half")
    session.rollback()
    # What is surely applied from its block is refused before it is too late.
    refused(c, "0A000", "CREATE TEMPORARY TABLE audit (id int)", "BEGIN", "INSERT INTO audit VALUES (3)",
            "ALTER TABLE o32 ADD COLUMN v int", "INSERT INTO o32 VALUES (3)", "COMMIT", member=4)
    session.close()
    same_everywhere(c, "SELECT id FROM o32 ORDER BY 1", [(1,), (2,)], "orders")


@suite.test
def h32_local_half(c):
    """A local table beside shared ones: refused; where it is accepted, a client never reads COMMIT for half of it."""
    own = Cluster(1, c.port + 20)
    try:
        own.start(options=["--bare"])
        own.run(1, "CREATE TABLE audit (id int)", "CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)",
                "SELECT dadbs.set_local('audit')", "SELECT dadbs.create_cluster()", "SELECT dadbs.wait_for_ready('30 s')")
        refused(own, "0A000", "BEGIN", "INSERT INTO orders VALUES (0)", "INSERT INTO audit VALUES (0)", "COMMIT")
        mixed = ["SET dadbs.allow_mixed_writes = on", "BEGIN", "LOCK TABLE other IN SHARE MODE"]
        session = own.connect(1)
        execute(session, *mixed, "INSERT INTO orders VALUES (1)", "INSERT INTO audit VALUES (1)", "COMMIT", "BEGIN",
                "LOCK TABLE other IN SHARE MODE", "INSERT INTO orders VALUES (2)", "INSERT INTO audit VALUES (2)")
        with standing_still(own, 1, "consensus"):  # a definition gets its position before the transaction that locks its table
            ddl = InBackground(lambda: own.run(1, "ALTER TABLE other ADD COLUMN v int"))
            eventually(lambda: own.value(1, "SELECT count(*) FROM dadbs.stat_activity WHERE state = 'ordering'") == 1, 20, "the DDL waits")
            commit = InBackground(lambda: execute(session, "COMMIT"))
            await_hold(own, 1, pid_of(session))
        equal(ddl.outcome(), None, "the definition")
        equal(commit.outcome(), UNKNOWN, f"COMMIT with its local half lost: {commit.text}")
        check("local" in commit.text, commit.text)
        equal(own.run(1, "SELECT (SELECT max(id) FROM orders), (SELECT max(id) FROM audit)"), [(2, 1)], "the halves after 40003")
        session.close()
        # The member crashes between the order and the local commit: no answer, and the shared half is replayed.
        session = own.connect(1)
        execute(session, *mixed, "INSERT INTO orders VALUES (3)", "INSERT INTO audit VALUES (3)")
        height = own.value(1, "SELECT height FROM dadbs.status")
        with standing_still(own, 1, "apply"):
            commit = InBackground(lambda: execute(session, "COMMIT"))
            eventually(lambda: own.value(1, "SELECT height FROM dadbs.status") > height, 20, "it is ordered")
            own.kill(1)
        check(commit.outcome() is not None, "COMMIT was acknowledged by a server that is gone")
        own.start_member(1)
        own.wait_ready()
        equal(own.run(1, "SELECT (SELECT max(id) FROM orders), (SELECT max(id) FROM audit)"), [(3, 1)], "the halves after a crash")
        equal(own.run(1, "SELECT * FROM dadbs.verify_chain()"), [], "verify_chain")
    finally:
        own.remove()


@suite.test
def h33_roles_are_the_chains(c):
    """DDL runs as its author on the chain: alice can't drop bob's table, whatever one member's own roles say."""
    c.run(1, "CREATE ROLE taken SUPERUSER")  # this member's own
    c.run(2, "CREATE ROLE taken", "CREATE ROLE alice LOGIN", "CREATE ROLE bob LOGIN PASSWORD 'secret of bob'")
    c.settle()
    equal(c.value(1, "SELECT local_name FROM dadbs_internal.role WHERE role_name = 'taken'"), "dadbs_taken", "the name was taken")
    equal(c.value(3, "SELECT local_name FROM dadbs_internal.role WHERE role_name = 'taken'"), "taken", "it was free")
    # What this member calls them is not in its hands, nor what they are members of.
    c.run(1, "CREATE ROLE spy CREATEDB")
    for statement in ("GRANT CREATE ON SCHEMA public TO dadbs_taken", "ALTER ROLE dadbs_taken NOLOGIN", "DROP ROLE dadbs_taken", "DROP OWNED BY dadbs_taken", "ALTER ROLE dadbs_taken RENAME TO other",
                      "ALTER ROLE dadbs_owner SUPERUSER", "GRANT spy TO dadbs_owner", "GRANT spy TO dadbs_taken", "GRANT spy TO alice", "ALTER GROUP spy ADD USER alice", "ALTER GROUP spy ADD USER dadbs_taken",
                      "CREATE ROLE spy2 CREATEDB ROLE alice", "CREATE ROLE spy2 CREATEDB ADMIN alice", "CREATE ROLE spy2 CREATEDB ROLE dadbs_owner"):
        equal(sqlstate(lambda: c.run(1, statement)), "0A000", statement)
    c.run(1, "GRANT alice TO spy", "REVOKE alice FROM spy", "ALTER ROLE dadbs_taken PASSWORD 'x'", "ALTER ROLE dadbs_taken PASSWORD NULL", "DROP ROLE spy")
    for i in c.members():
        equal(c.value(i, "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'bob'"), i == 2, f"password on member {i}")
        equal(c.value(i, "SELECT count(*) FROM dadbs_internal.batch WHERE position('secret of bob'::bytea IN body) > 0"), 0, "leaked")
    equal(sqlstate(lambda: c.run(3, "CREATE SCHEMA a", user="alice")), "42501", "no right to make schemas")
    # what one member grants by itself decides nothing
    c.run(3, "ALTER DATABASE shared OWNER TO alice")
    equal(sqlstate(lambda: c.run(3, "CREATE SCHEMA a", user="alice")), "42501", "no right to make schemas, as owner of a member's database")
    c.run(3, "ALTER DATABASE shared OWNER TO postgres")
    c.run(4, "GRANT CREATE ON DATABASE shared TO alice")
    c.settle()
    # bob may look into her schema, so that only the owner of the table is asked for
    c.run(3, "CREATE SCHEMA a", "CREATE TABLE a.hers (id int PRIMARY KEY)", "GRANT USAGE ON SCHEMA a TO bob", user="alice")
    c.settle()
    equal(sqlstate(lambda: c.run(1, "DROP TABLE a.hers", user="bob")), "42501", "bob drops alice's table")
    equal(sqlstate(lambda: c.run(1, "BEGIN", "ALTER TABLE a.hers ADD x int", "COMMIT", user="bob")), "42501", "in a transaction")
    c.run(1, "CREATE ROLE local_only CREATEDB", "GRANT alice TO local_only")
    equal(sqlstate(lambda: c.run(1, "GRANT local_only TO bob")), "0A000", "a member's role for one of the group")
    c.run(4, "ALTER TABLE a.hers OWNER TO taken", "GRANT SELECT ON a.hers TO bob")
    c.settle()
    equal(c.value(1, "SELECT tableowner FROM pg_tables WHERE tablename = 'hers'"), "dadbs_taken", "owner on member 1")
    equal(c.value(2, "SELECT tableowner FROM pg_tables WHERE tablename = 'hers'"), "taken", "owner on member 2")
    equal(c.run(3, "SELECT * FROM a.hers", user="bob"), [], "bob reads")
    equal(sqlstate(lambda: c.run(2, "DROP ROLE taken")), "2BP01", "it owns a table")
    c.run(2, "DROP SCHEMA a CASCADE", "DROP ROLE alice, bob, taken")
    same_everywhere(c, "SELECT count(*) FROM dadbs_internal.role", [(0,)], "roles")
    equal(c.value(1, "SELECT count(*) FROM pg_roles WHERE rolname IN ('taken', 'local_only')"), 2, "member 1's own are still there")
    c.run(1, "DROP ROLE taken, local_only")


@suite.test
def h33_memberships_of_one_member(c):
    """A membership that one member's superuser grants in another database of his server decides nothing at a position."""
    c.run(1, "CREATE ROLE carol LOGIN", "CREATE ROLE dave LOGIN", "CREATE SCHEMA h33", "GRANT ALL ON SCHEMA h33 TO carol, dave")
    c.settle()
    c.run(2, "CREATE TABLE h33.hers (id int PRIMARY KEY)", "CREATE TABLE h33.also_hers (id int PRIMARY KEY)", user="carol")
    c.settle()
    c.psql(1, "-d", "postgres", "-c", "GRANT carol TO dave", check_exit=False)
    try:
        for i in (1, 3):
            equal(sqlstate(lambda i=i: c.run(i, "DROP TABLE h33.hers", user="dave")), "42501", f"dave drops carol's table through member {i}")
            equal(sqlstate(lambda i=i: c.run(i, "BEGIN", "ALTER TABLE h33.also_hers ADD x int", "COMMIT", user="dave")), "42501",
                  f"in a transaction through member {i}")
        same_everywhere(c, "SELECT count(*) FROM pg_tables WHERE schemaname = 'h33'", [(2,)], "carol's tables")
    finally:
        c.psql(1, "-d", "postgres", "-c", "REVOKE carol FROM dave", check_exit=False)
    # The chain's own membership counts everywhere.
    c.run(4, "GRANT carol TO dave")
    c.settle()
    c.run(3, "DROP TABLE h33.hers", user="dave")
    c.settle()
    c.run(1, "DROP SCHEMA h33 CASCADE", "DROP ROLE carol, dave")
    c.settle()


def with_temporary_schemas(c, member, table):
    """Sessions of a member that have a temporary table, by their schemas, whose numbers come from the sessions' places on their server."""
    sessions = [c.connect(member) for _ in range(15)]
    return {execute(s, f"CREATE TEMPORARY TABLE {table} (id int)", "SELECT pg_my_temp_schema()::regnamespace::text")[0][0]: s for s in sessions}


@suite.test
def h34_names_of_the_session(c):
    """What a name means is settled where it was written: temporary tables, "$user", local objects beside shared ones."""
    c.run(1, "CREATE ROLE erin LOGIN", "GRANT CREATE ON DATABASE shared TO erin", "CREATE TABLE public.sh (id int PRIMARY KEY)",
          "GRANT CREATE ON SCHEMA public TO erin")
    c.settle()
    c.run(3, "CREATE SCHEMA AUTHORIZATION erin", user="erin")
    c.settle()
    session = c.connect(2)
    height = "SELECT dadbs.applied_height()"
    execute(session, "CREATE TEMPORARY TABLE sh (id int)", "CREATE TEMPORARY TABLE mine (id int)", "INSERT INTO sh VALUES (1)")
    before = c.value(2, height)
    execute(session, "ALTER TABLE sh ADD COLUMN v int", "COMMENT ON TABLE sh IS 'local'", "CREATE INDEX ON sh (id)", "DROP TABLE sh")
    equal(c.value(2, height), before, "what a session does with its own temporary table is not ordered")
    same_everywhere(c, "SELECT to_regclass('public.sh') IS NOT NULL", [(True,)], "the shared table")
    execute(session, "CREATE TEMPORARY TABLE sh (id int)")
    for statement in ("DROP TABLE public.sh, sh", "DROP TABLE mine, public.sh", "ALTER TABLE mine ADD FOREIGN KEY (id) REFERENCES public.sh",
                      "CREATE TEMPORARY TABLE like_it (LIKE mine, FOREIGN KEY (id) REFERENCES public.sh)"):
        error = InBackground(lambda s=statement: execute(session, s))
        check(error.outcome() in ("0A000", "42P16"), f"{statement}: {error.error} {error.text}")
    equal(execute(session, "SELECT count(*) FROM pg_class WHERE relname IN ('sh', 'mine')"), [(3,)], "nothing of a mixture was done")
    execute(session, "DROP TABLE sh", "DROP TABLE sh")  # the temporary one, then the shared one that it hid
    same_everywhere(c, "SELECT to_regclass('public.sh') IS NULL", [(True,)], "no shared table")
    session.close()
    # "$user" means erin's schema for erin only, at any member.
    c.run(4, "CREATE TABLE hers (id int PRIMARY KEY)", user="erin")
    c.run(4, "CREATE TABLE ours (id int PRIMARY KEY)", "INSERT INTO ours VALUES (1)")
    same_everywhere(c, "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('hers', 'ours') ORDER BY 2",
                    [("erin", "hers"), ("public", "ours")], "schemas")
    equal(sqlstate(lambda: c.run(1, "ALTER TABLE hers ADD COLUMN v int")), "42P01", "the superuser's path does not lead there")
    c.run(2, "ALTER TABLE hers ADD COLUMN v int", user="erin")
    # A local schema in front does not travel: pg_temp, where a new view would be this session's.
    c.run(3, "SET search_path = pg_temp, erin, public", "ALTER TABLE hers ADD COLUMN w int")
    # Nor does that of a session with temporary tables, whose name is that of somebody else's schema on another member.
    here, there = with_temporary_schemas(c, 3, "mine"), with_temporary_schemas(c, 1, "hers")
    same = sorted(set(here) & set(there))
    check(same, f"no temporary schema of one name on two members: {sorted(here)} and {sorted(there)}")
    execute(here[same[0]], "SET search_path = pg_temp, erin, public", "ALTER TABLE hers ADD COLUMN x int")
    c.settle()
    for session in [*here.values(), *there.values()]:
        session.close()
    refused(c, "0A000", "SET search_path = pg_temp, erin, public", "CREATE VIEW seen AS SELECT * FROM hers", member=3)
    refused(c, "42P01", "CREATE TEMPORARY TABLE here (id int)", "CREATE TABLE erin.bad (LIKE here)", member=3)
    same_everywhere(c, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'erin.hers'::regclass AND attnum > 0", [(4,)], "columns")
    same_everywhere(c, "SELECT count(*) FROM pg_class WHERE relname IN ('seen', 'bad')", [(0,)], "what was refused")
    c.run(1, "DROP SCHEMA erin CASCADE", "DROP TABLE ours", "REVOKE CREATE ON SCHEMA public FROM erin", "DROP ROLE erin")


@suite.test
def h34_what_is_only_here(c):
    """Temporary tables that use shared types do not stand in the group's way."""
    c.run(1, "CREATE SCHEMA h", "CREATE TYPE h.mood AS ENUM ('sad', 'ok')", "CREATE TABLE h.t (id int PRIMARY KEY, m h.mood)",
          "CREATE DOMAIN h.small AS int")
    c.settle()
    idle = c.connect(2)
    execute(idle, "CREATE TEMPORARY TABLE t (a int, m h.mood, s h.small)", "CREATE TEMPORARY TABLE k AS SELECT * FROM h.t",
            "INSERT INTO t VALUES (1, 'ok', -5)", "SET search_path = pg_temp, h", "DROP TABLE t",
            "CREATE TEMPORARY TABLE t (a int, m h.mood, s h.small)", "INSERT INTO t VALUES (1, 'ok', -5)")
    equal(c.value(3, "SELECT to_regclass('h.t') IS NOT NULL"), True, "the shared table is there")
    c.run(3, "ALTER DOMAIN h.small ADD CHECK (VALUE > 0)", "ALTER TABLE h.t DROP COLUMN m", "DROP TYPE h.mood")
    c.settle()
    idle.close()
    equal(sqlstate(lambda: c.run(2, "CREATE TEMP VIEW v AS SELECT * FROM h.t")), "0A000", "a temporary view on a shared table")
    c.run(1, "DROP SCHEMA h CASCADE")


@suite.test
def h35_definitions_that_compute(c):
    """What each member would compute for itself is refused, or computed alike."""
    c.run(1, "CREATE TABLE f35 (id int PRIMARY KEY)", "INSERT INTO f35 SELECT generate_series(1, 50)", "CREATE TABLE e35 (id int PRIMARY KEY)")
    c.settle()
    for k, function in enumerate(("txid_current()", "pg_current_xact_id()::text", "random()", "gen_random_uuid()", "current_user", "clock_timestamp()",
                                  "pg_backend_pid()", "inet_server_port()", "current_setting('cluster_name')", "nextval('q35')")):
        if function.startswith("nextval"):
            c.run(1, "CREATE SEQUENCE q35")
            c.settle()
        kind = "uuid" if "uuid" in function else "text"
        statement = f"ALTER TABLE f35 ADD COLUMN x{k} {kind} DEFAULT {function if kind == 'uuid' else f'({function})::text'}"
        refused(c, "0A000", statement, member=1 + k % 4)
        refused(c, "0A000", "BEGIN", statement, member=1 + k % 4)
    refused(c, "0A000", "ALTER TABLE f35 ADD COLUMN s serial", member=2)
    refused(c, "0A000", "ALTER TABLE f35 ADD COLUMN s int GENERATED ALWAYS AS IDENTITY", member=3)
    refused(c, "0A000", "ALTER TABLE f35 ALTER COLUMN id TYPE bigint USING id + (random() * 0)::bigint", member=4)
    c.run(2, "ALTER TABLE f35 ADD COLUMN at timestamptz DEFAULT now()")  # the position's
    c.run(3, "ALTER TABLE e35 ADD COLUMN x bigint DEFAULT txid_current(), ADD COLUMN u uuid DEFAULT gen_random_uuid()")
    c.settle()
    for i in c.members():
        c.run(i, f"INSERT INTO e35 (id) VALUES ({i})")  # computed once, where the row comes from
    c.settle()
    check(c.value(1, "SELECT count(DISTINCT at) FROM f35") == 1, "now() of a definition is one moment")
    same_everywhere(c, "SELECT * FROM e35 ORDER BY 1", c.run(1, "SELECT * FROM e35 ORDER BY 1"), "defaults of new rows")
    # The rows of CREATE TABLE AS have no order, and a prepared statement is this session's.
    refused(c, "0A000", "CREATE TABLE g35 AS SELECT * FROM f35 LIMIT 3")
    refused(c, "0A000", "SELECT * INTO g35 FROM f35 LIMIT 3", member=2)
    refused(c, "0A000", "PREPARE p AS SELECT * FROM f35", "CREATE TABLE g35 AS EXECUTE p", member=3)
    refused(c, "0A000", "EXPLAIN ANALYZE CREATE TABLE g35 AS SELECT * FROM f35", member=4)
    refused(c, "0A000", "DO $$ DECLARE n int := 3; BEGIN CREATE TABLE g35 AS SELECT n AS id; END $$")
    refused(c, "0A000", "DO $$ BEGIN EXECUTE 'CREATE TABLE g35 AS SELECT $1 AS id' USING 3; END $$", member=2)
    wire = Wire(port=c.port)
    wire.parse("CREATE VIEW g35 AS SELECT $1::int AS x", types=(23,)).bind(params=["3"]).execute().sync()
    errors = [m for m in wire.until("Z") if m[0] == "E"]
    check(errors, "a view with a bind parameter")
    wire.parse("CREATE TABLE g35 AS SELECT $1::int AS x", types=(23,)).bind(params=["3"]).execute().sync()
    errors = [m for m in wire.until("Z") if m[0] == "E"]
    check(errors and "0A000" in str(errors[0]), f"CREATE TABLE AS with a bind parameter: {errors}")
    wire.close()
    same_everywhere(c, "SELECT to_regclass('g35')::text", [(None,)], "nothing was made")
    # Temporary ones are the session's own affair.
    equal(c.run(4, "CREATE TEMPORARY TABLE g35 AS SELECT * FROM f35 LIMIT 3", "SELECT count(*) FROM g35"), [(3,)], "a temporary table")


@suite.test
def h36_orphans_through_settings(c):
    """Neither a replica session nor a disabled trigger lets an orphan in, on one member or on the others."""
    c.run(1, "CREATE TABLE p36 (id int PRIMARY KEY)", "CREATE TABLE c36 (id int PRIMARY KEY, p int REFERENCES p36 ON DELETE CASCADE, v int)",
          "CREATE TABLE log36 (id serial PRIMARY KEY, what text)",
          "CREATE FUNCTION note36() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log36 (what) VALUES (TG_OP); RETURN NULL; END'",
          "CREATE TRIGGER note36 AFTER INSERT OR DELETE ON c36 FOR EACH ROW EXECUTE FUNCTION note36()", "INSERT INTO p36 VALUES (1), (2)")
    c.settle()
    as_owner, replica = "SET ROLE dadbs_owner", "SET session_replication_role = replica"
    for i in c.members():
        refused(c, "23503", replica, f"INSERT INTO c36 VALUES ({i}, 99, 0)", member=i)
        refused(c, "23503", replica, "BEGIN", f"INSERT INTO c36 VALUES ({i}, 98, 0)", "COMMIT", member=i)
        refused(c, "42501", "ALTER TABLE c36 DISABLE TRIGGER ALL", member=i)
        refused(c, "42501", "ALTER TABLE p36 DISABLE TRIGGER ALL", member=i)
    same_everywhere(c, "SELECT count(*) FROM c36", [(0,)], "orphans")
    # Children whose parent a replica session deletes: its cascade did not fire, so they would be orphans.
    c.run(2, as_owner, "INSERT INTO c36 VALUES (1, 1, 0), (2, 2, 0)")
    c.settle()
    refused(c, "23503", replica, "DELETE FROM p36 WHERE id = 1", member=3)
    c.run(3, replica, "INSERT INTO c36 VALUES (3, 1, 0)")  # fits: replayed, its triggers silent at the origin and elsewhere
    c.settle()
    # The chain's own switch: user triggers only, alike everywhere, and in a transaction of its author.
    c.run(4, "ALTER TABLE c36 DISABLE TRIGGER USER")
    c.settle()
    for i in c.members():
        refused(c, "23503", as_owner, "INSERT INTO c36 VALUES (50, 99, 0)", member=i)
    c.run(1, as_owner, "INSERT INTO c36 VALUES (4, 2, 0)")
    c.settle()
    c.run(2, "ALTER TABLE c36 ENABLE TRIGGER note36")
    c.settle()
    c.run(3, as_owner, "DELETE FROM p36 WHERE id = 2")
    same_everywhere(c, "SELECT what, count(*) FROM log36 GROUP BY 1 ORDER BY 1", [("DELETE", 2), ("INSERT", 2)], "triggers fired")
    same_everywhere(c, "SELECT id FROM c36 ORDER BY 1", [(1,), (3,)], "children")


@suite.test
def h37_what_postgres_does_not_check(c):
    """An update of another column keeps what it finds: orphans, stale generated values, values that a domain refuses now."""
    c.run(1, "CREATE TABLE p37 (id int PRIMARY KEY)", "CREATE TABLE c37 (id int PRIMARY KEY, p int, note text)",
          "INSERT INTO c37 VALUES (1, 99, 'orphan'), (2, NULL, 'fine')",
          "ALTER TABLE c37 ADD FOREIGN KEY (p) REFERENCES p37 NOT VALID",
          "CREATE DOMAIN d37 AS int", "CREATE TABLE v37 (id int PRIMARY KEY, d d37, a d37[], note text)",
          "INSERT INTO v37 VALUES (1, -5, '{1}', 'old'), (2, 5, '{1}', 'old')",
          "ALTER DOMAIN d37 ADD CONSTRAINT positive CHECK (VALUE > 0) NOT VALID",
          "CREATE FUNCTION rate37() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'",
          "CREATE FUNCTION gross37(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * public.rate37(); END'",
          "CREATE TABLE g37 (id int PRIMARY KEY, net int, gross int GENERATED ALWAYS AS (gross37(net)) STORED, note text)",
          "SET ROLE dadbs_owner", "INSERT INTO g37 VALUES (1, 10), (2, 20)")
    c.settle()
    # The function that the generated column uses stays; what that one calls is another one now: old values are stale.
    c.run(2, "CREATE OR REPLACE FUNCTION rate37() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3'")
    c.settle()
    for k, i in enumerate(c.members()):
        c.run(i, "SET ROLE dadbs_owner", f"UPDATE c37 SET note = 'by {i}' WHERE id = 1", f"UPDATE v37 SET note = 'by {i}'",
              f"UPDATE g37 SET note = 'by {i}'")
        c.settle()
        c.run(i, "SET session_replication_role = replica", f"UPDATE c37 SET note = 'again by {i}'", f"UPDATE v37 SET note = 'again by {i}'")
        c.settle()
        refused(c, "23503", "UPDATE c37 SET p = 98 WHERE id = 1", member=i)
        refused(c, "23514", "UPDATE v37 SET d = -6 WHERE id = 1", member=i)
        refused(c, "23514", f"INSERT INTO v37 VALUES ({10 + i}, -1)", member=i)
    c.run(3, "SET ROLE dadbs_owner", "UPDATE g37 SET net = 11 WHERE id = 1", "INSERT INTO g37 VALUES (3, 30)")
    same_everywhere(c, "SELECT id, gross FROM g37 ORDER BY 1", [(1, 33), (2, 40), (3, 90)], "generated values, a stale one among them")
    same_everywhere(c, "SELECT id, d FROM v37 ORDER BY 1", [(1, -5), (2, 5)], "a value under a NOT VALID check")
    c.run(1, "CREATE DOMAIN wanted AS int NOT NULL", "CREATE TABLE w37 (id int PRIMARY KEY, w wanted)", "INSERT INTO w37 VALUES (1, 1)")
    state = sqlstate(lambda: c.run(1, "INSERT INTO w37 SELECT 2, (SELECT w FROM w37 WHERE id = 77)"))
    check(state in (None, "23502"), f"NULL of a NOT NULL domain: {state}")
    same_everywhere(c, "SELECT count(*) FROM w37", [(1 if state else 2,)], "rows of w37")


@suite.test
def h38_functions_that_read(c):
    """A function that is declared IMMUTABLE and counts rows is refused wherever it is evaluated, with one SQLSTATE."""
    as_owner = "SET ROLE dadbs_owner"  # superusers don't run what came over the chain
    c.run(1, "CREATE FUNCTION small38(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 < 100; END'",
          "CREATE TABLE k38 (id int PRIMARY KEY CHECK (small38(id)), v int)", "CREATE TABLE n38 (id int PRIMARY KEY)", "INSERT INTO n38 VALUES (1)",
          "CREATE FUNCTION few38(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN (SELECT count(*) FROM public.n38) < 3; END'",
          "CREATE FUNCTION few38_sql(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (SELECT count(*) FROM public.n38) < 3'")
    c.settle()
    for i in c.members():
        c.run(i, as_owner, f"INSERT INTO k38 VALUES ({i})")
        refused(c, "23514", as_owner, "INSERT INTO k38 VALUES (100)", member=i)
    # While a definition is executed on rows that are there.
    for i, function in enumerate(("few38", "few38_sql"), 1):
        refused(c, "0A000", f"ALTER TABLE k38 ADD CHECK ({function}(id))", member=i)
        refused(c, "0A000", f"CREATE INDEX ON k38 ({function}(id))", member=i)
        refused(c, "0A000", f"ALTER TABLE k38 ADD COLUMN g boolean GENERATED ALWAYS AS ({function}(id)) STORED", member=i)
        refused(c, "0A000", f"ALTER TABLE k38 ALTER COLUMN v TYPE bigint USING CASE WHEN {function}(id) THEN id END", member=i)
    # While rows are applied: a CHECK, a domain, a domain within an array, which is looked at when keys are derived already.
    c.run(2, "CREATE TABLE c38 (id int PRIMARY KEY CHECK (few38(id)))", "CREATE DOMAIN d38 AS int CHECK (few38(VALUE))",
          "CREATE TABLE v38 (id int PRIMARY KEY, d d38)", "CREATE TABLE a38 (id int, a d38[], PRIMARY KEY (a))",
          "CREATE DOMAIN e38 AS int CHECK (few38_sql(VALUE))", "CREATE TABLE b38 (id int, a e38[] UNIQUE)")
    c.settle()
    for i in c.members():
        refused(c, "0A000", as_owner, f"INSERT INTO c38 VALUES ({i})", member=i)
        refused(c, "0A000", as_owner, f"INSERT INTO v38 VALUES ({i}, 1)", member=i)
        refused(c, "0A000", as_owner, f"INSERT INTO a38 VALUES ({i}, '{{1,2}}')", member=i)
        refused(c, "0A000", as_owner, f"INSERT INTO b38 VALUES ({i}, '{{{i}}}')", member=i)
    c.settle()
    # Not even looked at: with the keys it would be called before the row is refused.
    c.run(3, "CREATE FUNCTION told38(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS "
             "'BEGIN PERFORM count(*) FROM public.n38; RAISE LOG ''told38 has counted''; RETURN true; END'",
          "CREATE DOMAIN l38 AS int CHECK (told38(VALUE))", "CREATE TABLE t38 (a l38[] PRIMARY KEY)")
    c.settle()
    refused(c, "0A000", as_owner, "INSERT INTO t38 VALUES ('{1}')")
    c.settle()
    equal([i for i in c.members() if "told38 has counted" in c.log(i)], [1], "where the function counted: in the session only")
    rejected = "SELECT count(*), count(*) FILTER (WHERE verdict = 'rejected') FROM dadbs.transactions WHERE sqlstate = '0A000'"
    count = c.run(1, rejected)[0]
    check(count[0] >= 16 and count[0] == count[1], f"the chain's verdicts: {count}")
    same_everywhere(c, rejected, [count], "verdicts")
    same_everywhere(c, "SELECT (SELECT count(*) FROM c38) + (SELECT count(*) FROM v38) + (SELECT count(*) FROM a38) + (SELECT count(*) FROM b38)",
                    [(0,)], "rows")
    c.run(1, "DROP TABLE a38, b38, c38, v38, k38, t38")


@suite.test
def h39_deferred_and_forced(c):
    """Deferred foreign keys, deferred unique constraints and FORCE ROW LEVEL SECURITY, in the session and at the position."""
    c.run(1, "CREATE ROLE fay LOGIN", "GRANT CREATE ON DATABASE shared TO fay")
    c.settle()
    c.run(2, "CREATE SCHEMA r39", "CREATE TABLE r39.parent (id int PRIMARY KEY, v int)",
          "CREATE TABLE r39.child (id int PRIMARY KEY, p int REFERENCES r39.parent ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,"
          " rank int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
          "ALTER TABLE r39.parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
          "ALTER TABLE r39.child ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
          "CREATE POLICY hidden ON r39.parent USING (v > 0) WITH CHECK (true)", "CREATE POLICY hidden ON r39.child USING (rank > 0) WITH CHECK (true)",
          user="fay")
    c.settle()
    # Children before their parents, which their owner can't see; on the fast path and, as a replica, replayed.
    for k, replica in enumerate(("origin", "replica")):
        session = c.connect(1 + k)
        execute(session, f"SET session_replication_role = {replica}", "BEGIN", f"INSERT INTO r39.child VALUES ({10 * k + 1}, {k + 1}, {10 * k + 1})",
                f"INSERT INTO r39.child VALUES ({10 * k + 2}, {k + 1}, {10 * k + 2})", f"INSERT INTO r39.parent VALUES ({k + 1}, 0)",
                f"UPDATE r39.child SET rank = {10 * k + 1} WHERE id = {10 * k + 2}", f"UPDATE r39.child SET rank = {10 * k + 2} WHERE id = {10 * k + 1}", "COMMIT")
        session.close()
        c.settle()
    equal(c.run(3, "SELECT count(*) FROM r39.parent", user="fay"), [(0,)], "the owner does not see them")
    c.run(3, "INSERT INTO r39.child VALUES (31, 1, 31)", user="fay")
    c.settle()
    for i in c.members():
        refused(c, "23503", f"INSERT INTO r39.child VALUES (90, 77, {900 + i})", member=i, user="fay")
        refused(c, "23503", "SET session_replication_role = replica", "BEGIN", f"INSERT INTO r39.child VALUES (90, 77, {900 + i})", "COMMIT", member=i)
        refused(c, "23505", f"INSERT INTO r39.child VALUES ({90 + i}, 1, 1)", member=i, user="fay")
        refused(c, "23505", "SET session_replication_role = replica", "BEGIN", f"INSERT INTO r39.child VALUES ({90 + i}, 1, 1)", "COMMIT", member=i)
    one_wins(race(c, ["INSERT INTO r39.child VALUES (41, 2, 41)"], ["DELETE FROM r39.parent WHERE id = 2"]), "a child of a hidden parent")
    one_wins(race(c, ["INSERT INTO r39.child VALUES (51, 1, 500)"], ["INSERT INTO r39.child VALUES (52, 1, 500)"]), "one deferred value",
             allowed=("23505", CONFLICT))
    c.settle()
    c.run(4, "UPDATE r39.parent SET id = 100 WHERE id = 1")
    same_everywhere(c, "SELECT count(*) FROM r39.child c LEFT JOIN r39.parent p ON p.id = c.p WHERE p.id IS NULL", [(0,)], "orphans")
    check(c.value(1, "SELECT count(*) FROM r39.child WHERE p = 100") == 4, "the cascade to hidden children")
    c.run(1, "DROP SCHEMA r39 CASCADE", "DROP ROLE fay")


@suite.test
def h41_plans_of_old_definitions(c):
    """What a session has planned before a definition changed is judged by the new one, or told 40001."""
    c.run(1, "CREATE DOMAIN n41 AS int", "CREATE TABLE d41 (id int PRIMARY KEY, n n41)",
          "CREATE FUNCTION f41(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 10'",
          "CREATE TABLE t41 (id int PRIMARY KEY, n int, v int, generation int)")
    c.settle()
    sessions = {i: c.connect(i, autocommit=False) for i in (2, 3)}
    for session in sessions.values():
        execute(session, "SET ROLE dadbs_owner", "SET plan_cache_mode = force_generic_plan", "PREPARE d (int, int) AS INSERT INTO d41 VALUES ($1, $2)",
                "PREPARE t (int, int) AS INSERT INTO t41 VALUES ($1, $2, f41($2), f41(1) / 10)")
        session.commit()
    for k, (i, session) in enumerate(sessions.items()):
        execute(session, f"EXECUTE d ({k}, -1)", f"EXECUTE t ({k}, 1)")
        session.commit()
    c.settle()
    # A domain's check takes no lock: only the schema base tells that these were checked by the old one.
    for k, session in enumerate(sessions.values()):
        execute(session, f"EXECUTE d ({10 + k}, -1)")
    c.run(4, "ALTER DOMAIN n41 ADD CHECK (VALUE > 0) NOT VALID")
    c.settle()
    for i, session in sessions.items():
        equal(sqlstate(session.commit), CONFLICT, f"a value that the old domain let through on member {i}")
        equal(sqlstate(lambda s=session, i=i: execute(s, f"EXECUTE d ({20 + i}, -1)")), "23514", f"the cached plan on member {i}")
        session.rollback()
    # A function that a plan has inlined: who goes on with the old text has begun before the new one.
    for generation in range(11, 16):
        for i, session in sessions.items():
            execute(session, f"EXECUTE t ({generation * 100 + i}, {i})")
        c.run(1 + generation % 4, f"CREATE OR REPLACE FUNCTION f41(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * {generation * 10}'")
        for i, session in sessions.items():
            check(sqlstate(session.commit) in (None, CONFLICT), f"a transaction across the change on member {i}")
        c.settle()
        for i, session in sessions.items():
            execute(session, f"EXECUTE t ({generation * 100 + 50 + i}, {i})")
            session.commit()
        c.settle()
        equal(c.run(4, f"SELECT DISTINCT generation, v = n * {generation * 10} FROM t41 WHERE id / 100 = {generation} AND id % 100 > 50"),
              [(generation, True)], "rows of transactions that began after the change")
    for session in sessions.values():
        session.close()


@suite.test
def h42_row_locks_stay_at_home(c):
    """FOR UPDATE and LOCK TABLE order the sessions of one member; between members keys decide (limitations.md)."""
    c.run(1, "CREATE TABLE p42 (id int PRIMARY KEY, quota int)", "CREATE TABLE c42 (id serial PRIMARY KEY, p int REFERENCES p42, n int)",
          "CREATE TABLE m42 (id int PRIMARY KEY, who int)", "INSERT INTO p42 VALUES (1, 10), (2, 10)", "INSERT INTO m42 VALUES (1, 0)")
    c.settle()
    book = ["SELECT quota FROM p42 WHERE id = {p} FOR UPDATE", "INSERT INTO c42 (p, n) SELECT {p}, 6 WHERE (SELECT coalesce(sum(n), 0) FROM c42 WHERE p = {p}) + 6 <= 10"]
    # Two sessions of one member, one after the other: the second sees the first one's child.
    first, second = c.connect(1, autocommit=False), c.connect(1, autocommit=False)
    execute(first, *[s.format(p=1) for s in book])
    waiting = InBackground(lambda: (execute(second, *[s.format(p=1) for s in book]), second.commit()))
    eventually(lambda: c.value(1, f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid_of(second)}") == "Lock", 20, "the second waits")
    first.commit()
    equal(waiting.outcome(), None, "the second one")
    same_everywhere(c, "SELECT sum(n) FROM c42 WHERE p = 1", [(6,)], "the quota on one member")
    # On two members at once: both pass, where neither COMMIT comes after the other's position. That is documented, and the members agree on it.
    sessions = [c.connect(i, autocommit=False) for i in (1, 2)]
    for session in sessions:
        execute(session, *[s.format(p=2) for s in book])
    with standing_still(c, 1, "consensus"), standing_still(c, 2, "consensus"):
        commits = [InBackground(session.commit) for session in sessions]
        for session in sessions:
            await_hold(c, session.member, pid_of(session))
    equal([commit.outcome() for commit in commits], [None, None], "on two members at once")
    for session in sessions:
        session.close()
    same_everywhere(c, "SELECT sum(n) FROM c42 WHERE p = 2", [(12,)], "the quota between members")
    # max() + 1 under LOCK TABLE: the key lets one through.
    number = ["LOCK TABLE m42 IN EXCLUSIVE MODE", "INSERT INTO m42 SELECT max(id) + 1, 1 FROM m42"]
    one_wins(race(c, number, number), "max() + 1 on two members")
    # Locks that a session holds do not hold up the group: it has to yield.
    holders = [c.connect(i, autocommit=False) for i in (2, 3)]
    execute(holders[0], "LOCK TABLE m42 IN ACCESS EXCLUSIVE MODE")
    execute(holders[1], "SELECT * FROM p42 FOR UPDATE")
    c.run(1, "INSERT INTO m42 SELECT max(id) + 1, 1 FROM m42", "UPDATE p42 SET quota = quota + 1")
    c.settle()
    for holder in holders:
        check(sqlstate(lambda h=holder: (execute(h, "INSERT INTO m42 VALUES (1000, 0)"), h.commit())) is not None, "it held a lock of the group's turn")
        holder.close()
    # The way that holds between members: touch a row of the parent's.
    touch = ["UPDATE p42 SET quota = quota WHERE id = 1", "INSERT INTO c42 (p, n) VALUES (1, 1)"]
    one_wins(race(c, touch, touch), "two that touch the parent")
    for session in (first, second):
        session.close()


@suite.test
def h44_sequences(c):
    """Values are given once, whatever is restarted, forced out or altered; members keep their residue classes."""
    c.run(1, "CREATE SCHEMA s44", "CREATE TABLE s44.t (id serial PRIMARY KEY, v text)", "CREATE TABLE s44.lock (id int PRIMARY KEY, v int)",
          "INSERT INTO s44.lock VALUES (1, 0)")
    c.settle()
    insert = "INSERT INTO s44.t (v) VALUES ('x'), ('y') RETURNING id"

    def from_all(n=1):
        ids = [row[0] for _ in range(n) for i in c.members() for row in c.run(i, insert)]
        equal(len(ids), len(set(ids)), f"values {sorted(ids)}")
        c.settle()
        return ids
    from_all()
    # Restarted and filled in one transaction, which is applied from its block: the sequence must not go back to before it.
    for i in c.members():
        session = c.connect(i, autocommit=False)
        execute(session, "TRUNCATE s44.t RESTART IDENTITY")
        own = [row[0] for row in execute(session, insert) + execute(session, insert)]
        session.commit()
        session.close()
        c.settle()
        check(max(own) < 100, f"restarted on member {i}: {own}")
        check(not set(own) & set(from_all(2)), "values that the restarting transaction has given already")
    # Made in the transaction that uses it, and forced out.
    session = c.connect(4, autocommit=False)
    execute(session, "SELECT * FROM s44.lock FOR UPDATE", "CREATE TABLE s44.n (id serial PRIMARY KEY, v text)",
            "INSERT INTO s44.n (v) SELECT 'x' FROM generate_series(1, 5)", "TRUNCATE s44.t RESTART IDENTITY")
    execute(session, insert)
    equal(forced_out(c, session, 4, (2, "UPDATE s44.lock SET v = v + 1")).error, None, "COMMIT of the one that was forced out")
    session.close()
    c.settle()
    for i in c.members():
        c.run(i, "INSERT INTO s44.n (v) SELECT 'y' FROM generate_series(1, 5)")
    from_all()
    # RESTART puts nobody on another one's class.
    c.run(2, "ALTER SEQUENCE s44.t_id_seq RESTART WITH 20000")
    c.settle()
    check(min(from_all(2)) >= 20000, "restarted")
    c.run(4, "ALTER SEQUENCE s44.t_id_seq INCREMENT BY 3")
    c.settle()
    from_all(2)
    c.run(3, "TRUNCATE s44.t RESTART IDENTITY")
    c.settle()
    check(max(from_all()) < 200, "back at the start")
    c.run(3, "BEGIN", "ALTER SEQUENCE s44.t_id_seq RESTART WITH 90000", insert, insert, "COMMIT")
    c.settle()
    check(min(from_all(2)) >= 90000, "restarted in a transaction")
    equal(sqlstate(lambda: c.run(1, "CREATE SEQUENCE s44.tiny MAXVALUE 3")), "22023", "no room for four")
    same_everywhere(c, "SELECT count(*) FROM s44.n", [(25,)], "rows")
    c.run(1, "DROP SCHEMA s44 CASCADE")


@suite.test
def h25_nothing_that_all_refuse_stops_the_chain(c):
    """Expressions and values that are nested too deeply, functions that call themselves: an error, and the chain goes on."""
    c.run(1, "CREATE TABLE q25 (id int PRIMARY KEY, j json, k jsonb)",
          "CREATE FUNCTION deep25(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 <= 0 OR public.deep25($1 - 1); END'",
          "CREATE FUNCTION deep25_sql(n int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
          "CREATE OR REPLACE FUNCTION deep25_sql(n int) RETURNS boolean LANGUAGE sql IMMUTABLE AS "
          "'SELECT CASE WHEN n <= 0 THEN true ELSE public.deep25_sql(n - 1) END'",
          "CREATE TABLE r25 (id int PRIMARY KEY CHECK (deep25(id)))", "CREATE TABLE s25 (id int PRIMARY KEY CHECK (deep25_sql(id)))")
    c.settle()

    def goes_on(k):
        for i in c.members():
            c.run(i, f"INSERT INTO q25 VALUES ({100 * k + i})")
        c.settle()
    sum_of, bounded = " + ".join, "SET dadbs.commit_timeout = '60s'"
    for k, expression in enumerate((sum_of(["1"] * 20000), "- " * 8000 + "1", "abs(" * 4000 + "1" + ")" * 4000, "ARRAY[" * 4000 + "1" + "]" * 4000)):
        for statement in (f"CREATE VIEW v25 AS SELECT {expression} AS x", f"ALTER TABLE q25 ADD COLUMN x{k} int DEFAULT {expression}",
                          f"CREATE FUNCTION f25() RETURNS int LANGUAGE sql AS $$SELECT {expression}$$"):
            state = sqlstate(lambda s=statement: c.run(1 + k % 4, bounded, s))
            check(state == "54001" or (k > 0 and state != UNKNOWN), f"{statement[:60]}...: {state}")
            state = sqlstate(lambda s=statement: c.run(2, bounded, "SET max_stack_depth = '7MB'", "BEGIN", s, "COMMIT"))
            check(state != UNKNOWN, f"in a transaction: {statement[:60]}...: {state}")
        c.settle()
        c.run(3, "DROP VIEW IF EXISTS v25", "DROP FUNCTION IF EXISTS f25", f"ALTER TABLE q25 DROP COLUMN IF EXISTS x{k}")
    c.run(3, f"CREATE VIEW v25 AS SELECT {sum_of(['1'] * 800)} AS x", "DROP VIEW v25")
    goes_on(1)
    as_owner = ("SET ROLE dadbs_owner",)
    for i, table in enumerate(("r25", "s25"), 1):
        c.run(i, *as_owner, f"INSERT INTO {table} VALUES (20)")
        text = refused(c, "54000", *as_owner, f"INSERT INTO {table} VALUES (250)", member=i)
        check("call each other" in text, text)
    goes_on(2)
    for k, depth in enumerate((4000, 20000, 60000)):
        for column in ("j", "k"):
            value = f"(repeat('[', {depth}) || repeat(']', {depth}))::json{'b' * (column == 'k')}"
            state = sqlstate(lambda: c.run(4, bounded, "SET max_stack_depth = '7MB'",
                                           f"INSERT INTO q25 (id, {column}) VALUES ({1000 + 2 * k + (column == 'k')}, {value})"))
            check(state in (None, "54001", "DA005"), f"json {depth} deep: {state}")
    goes_on(3)


@suite.test
def h25_what_was_counted_before_decides_nothing(c):
    """How deep functions call each other is counted anew at each position: not what failed before, nor what was planned when."""
    recursive = "LANGUAGE plpgsql IMMUTABLE AS $$ DECLARE r boolean; BEGIN IF n <= 0 THEN RETURN true; END IF; " \
                "SELECT public.count25(n - 1) INTO r; RETURN r; END $$"
    c.run(1, f"CREATE FUNCTION count25(n int) RETURNS boolean {recursive}",
          "CREATE FUNCTION f25(n int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
          "CREATE FUNCTION g25(n int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT public.f25($1)'",
          "CREATE OR REPLACE FUNCTION f25(n int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = public "
          "AS 'BEGIN RETURN n = 0 OR public.g25(n - 1); END'",
          "CREATE TABLE c25 (id int PRIMARY KEY)", "CREATE TABLE p25 (id int PRIMARY KEY)", "INSERT INTO c25 VALUES (300)",
          "INSERT INTO p25 VALUES (2)")
    c.settle()
    for i in (1, 2, 4):  # each leaves what it had counted
        refused(c, "54000", "SET ROLE dadbs_owner", "ALTER TABLE c25 ADD CHECK (count25(id))", member=i)
    c.run(1, "SET ROLE dadbs_owner", "ALTER TABLE p25 ADD CHECK (f25(id))")  # planned at a definition
    c.settle()
    c.kill(2)
    c.start_member(2)
    c.wait_ready()
    c.run(1, "DELETE FROM c25", "INSERT INTO c25 VALUES (3)")
    equal(sqlstate(lambda: c.run(3, "SET ROLE dadbs_owner", "ALTER TABLE c25 ADD CHECK (count25(id))")), None, "a definition after those that failed")
    for k, n in enumerate((30, 60, 90, 120)):
        sqlstate(lambda: c.run(1 + k, "SET ROLE dadbs_owner", f"INSERT INTO p25 VALUES ({n})"))  # the same everywhere, whatever it is
    c.settle()


@suite.test
def h25_definitions_that_nobody_can_execute(c):
    """A value above a gigabyte, which is found at the position only: the statement fails there as in plain Postgres."""
    own = Cluster(1, c.port + 20)
    try:
        own.start()
        own.run(1, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        refused(own, "XX000", "ALTER TABLE t ADD COLUMN v text DEFAULT upper(repeat('x', 268435456))")
        own.run(1, "INSERT INTO t VALUES (2)", "ALTER TABLE t ADD COLUMN v text DEFAULT upper(repeat('x', 10))")
        equal(own.run(1, "SELECT DISTINCT v FROM t"), [("X" * 10,)], "the column")
        equal(own.value(1, "SELECT count(*) FROM dadbs.transactions WHERE verdict = 'rejected' AND sqlstate = 'XX000'"), 1, "the chain's verdict")
    finally:
        own.remove()


if __name__ == "__main__":
    suite.main()
