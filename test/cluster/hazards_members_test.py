"""Hazards that come from what one member has or does alone; the numbers are those of docs/testing.md.

Only schema public is shared here: each member has a schema of its own besides. Definitions and rows of the group must get
the same verdict whatever stands there, and nothing that comes over the chain may use the rights of this member's sessions.
"""
import os
import shutil
import subprocess

from clients import OWNER, everywhere, refused, transaction
from harness import ROOT, Suite, check, equal, eventually, sqlstate
from hazards import execute


def start(c):
    c.command("start", c.n, options=["--bare"])
    lines = [c.value(i, f"SELECT dadbs.describe_node('m{i}', '127.0.0.1:{c.port + 49 + i}')") for i in c.members()]
    for i in c.members():
        c.run(i, "CREATE SCHEMA own", "CREATE TABLE own.notes (id int PRIMARY KEY, v text)")
    c.run(1, f"SELECT dadbs.create_cluster('{lines[0]}', ARRAY[{', '.join(map(repr, lines[1:]))}], schemas => '{{public}}')")
    for i in range(2, c.n + 1):
        c.run(i, f"SELECT dadbs.join_cluster('{lines[i - 1]}', '{lines[0]}')")
    c.wait_ready()
    c.run(1, "CREATE ROLE alice LOGIN", "GRANT CREATE ON SCHEMA public TO alice")
    c.settle()


suite = Suite("hazards_members", port=7910, begin=start)
NOT_HERE = ("0A000", "42501")


@suite.test
def h05_local_objects_on_shared_ones(c):
    """Whatever would stop the group's DELETE, ALTER or DROP at this member only is refused when it is made."""
    c.run(1, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN small AS int", "CREATE TABLE t (id int PRIMARY KEY, m mood, s small)",
          "CREATE SEQUENCE numbers", "CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2'",
          "CREATE VIEW seen AS SELECT * FROM t", "CREATE TYPE outer_type AS (a int, whole t)",
          "INSERT INTO t VALUES (1, 'ok', 1), (2, 'ok', 2)")
    c.settle()
    c.run(1, "CREATE FUNCTION own.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE SEQUENCE own.numbers",
          "CREATE ROLE only_here CREATEDB")
    for statement in ("CREATE TABLE own.child (id int REFERENCES public.t)", "ALTER TABLE own.notes ADD FOREIGN KEY (id) REFERENCES public.t",
                      "CREATE VIEW own.v AS SELECT * FROM public.t", "CREATE TEMP VIEW v AS SELECT * FROM public.t",
                      "CREATE TEMP VIEW v AS SELECT * FROM public.seen", "CREATE MATERIALIZED VIEW own.v AS SELECT * FROM public.t",
                      "CREATE TABLE own.typed (m public.mood)", "CREATE TABLE own.typed (s public.small)", "CREATE TABLE own.typed (r public.t)",
                      "CREATE TABLE own.d (id int DEFAULT nextval('public.numbers'))", "CREATE TABLE own.d (id int CHECK (public.twice(id) > 0))",
                      "CREATE TABLE own.heir () INHERITS (public.t)", "CREATE TEMP TABLE heir () INHERITS (public.t)",
                      "CREATE TABLE own.like OF public.t", "CREATE INDEX ON own.notes (public.twice(id))",
                      "CREATE FUNCTION own.f(public.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                      "CREATE FUNCTION own.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT public.twice(1); END",
                      "CREATE TRIGGER x AFTER DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION own.trigger()",
                      "ALTER SEQUENCE own.numbers OWNED BY public.t.id", "CREATE DOMAIN own.smaller AS public.small",
                      "CREATE OPERATOR own.@@@ (FUNCTION = public.twice, RIGHTARG = int)", "CREATE RULE r AS ON DELETE TO public.t DO INSTEAD NOTHING",
                      "CREATE PUBLICATION p FOR TABLE public.t", "CREATE STATISTICS own.s ON id, m FROM public.t",
                      "CREATE POLICY p ON own.notes USING (EXISTS (SELECT FROM public.t))", "CREATE CAST (public.mood AS int) WITH INOUT",
                      "ALTER TABLE public.t ALTER id SET DEFAULT nextval('own.numbers')", "ALTER TABLE public.t OWNER TO only_here",
                      "CREATE TABLE public.child (id int REFERENCES own.notes)", "CREATE VIEW public.v AS SELECT * FROM own.notes"):
        check(sqlstate(lambda s=statement: c.run(1, s)) is not None, f"not refused: {statement}")
    equal(c.run(1, "SELECT relname FROM pg_class WHERE relnamespace = 'own'::regnamespace ORDER BY 1"), [("notes",), ("notes_pkey",), ("numbers",)],
          "what was made in spite of a refusal")
    # What is changed besides what the statement is called after.
    c.run(2, "CREATE TABLE whole (id int, v int) PARTITION BY RANGE (id)", "CREATE TABLE part (id int, v int)", "CREATE INDEX part_v ON part (v)", "CREATE INDEX whole_v ON ONLY whole (v)")
    c.settle()
    c.run(1, "CREATE TABLE own.whole (id int, v int) PARTITION BY RANGE (id)", "CREATE INDEX whole_v ON ONLY own.whole (v)", "CREATE TABLE own.part (id int, v int)", "CREATE INDEX part_v ON own.part (v)",
          "CREATE EXTENSION citext SCHEMA own", "ALTER EXTENSION citext ADD TABLE own.part", "ALTER EXTENSION citext DROP TABLE own.part")
    for statement in ("ALTER TABLE own.whole ATTACH PARTITION public.part FOR VALUES FROM (0) TO (10)", "ALTER TABLE public.whole ATTACH PARTITION own.part FOR VALUES FROM (0) TO (10)",
                      "ALTER TABLE own.part INHERIT public.part", "ALTER TABLE own.part NO INHERIT public.part", "ALTER INDEX own.whole_v ATTACH PARTITION public.part_v",
                      "ALTER INDEX public.whole_v ATTACH PARTITION own.part_v", "ALTER EXTENSION citext ADD TABLE public.part", "ALTER EXTENSION citext ADD FUNCTION public.twice(int)",
                      "ALTER EXTENSION citext ADD TYPE public.mood", "ALTER EXTENSION citext ADD SCHEMA public", "CREATE TABLE own.p PARTITION OF public.whole DEFAULT", "CREATE TABLE public.p PARTITION OF own.whole DEFAULT"):
        check(sqlstate(lambda: c.run(1, statement)) in NOT_HERE, f"not refused: {statement}")
    c.run(1, "ALTER TABLE own.whole ATTACH PARTITION own.part DEFAULT", "ALTER TABLE own.whole DETACH PARTITION own.part",
          "DROP EXTENSION citext", "DROP TABLE own.whole, own.part")
    for i in c.members():
        equal(c.run(i, "SELECT * FROM dadbs.verify_definitions()"), [], f"definitions of member {i}")
    c.run(3, "ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (10)", "DROP TABLE whole")


@suite.test
def h05_names_that_leave_no_dependency(c):
    """What a definition looks up and does not depend on: where only one member has it, only that one would execute the definition."""
    c.run(1, "CREATE TABLE part (a int) PARTITION BY LIST (a)", "CREATE TABLE span (a int, t timestamptz) PARTITION BY RANGE (t)", user="alice")
    c.run(1, "CREATE TABLE own.lone (id int PRIMARY KEY, v text)", "CREATE FUNCTION own.lone_f() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 7'", "CREATE DOMAIN own.lone_d AS int",
          "GRANT USAGE ON SCHEMA own TO alice", "GRANT SELECT ON own.lone TO alice")
    for statement in ("CREATE TABLE made (LIKE own.lone)", "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT id FROM own.lone LIMIT 1'",
                      "CREATE FUNCTION made() RETURNS int LANGUAGE sql SET search_path = own AS 'SELECT id FROM lone LIMIT 1'",
                      "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT own.lone_f()'", "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1::own.lone_d'",
                      "CREATE FUNCTION made(a own.lone.id%TYPE) RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION made() RETURNS TABLE (a own.lone.id%TYPE) LANGUAGE sql AS 'SELECT 1'",
                      "CREATE FUNCTION made() RETURNS int LANGUAGE plpgsql AS 'DECLARE a own.lone.id%TYPE; BEGIN RETURN 1; END'",
                      "CREATE FUNCTION made() RETURNS int LANGUAGE plpgsql AS 'DECLARE a own.lone_d; BEGIN RETURN 1; END'",
                      "CREATE TABLE made PARTITION OF part FOR VALUES IN (own.lone_f())", "CREATE TABLE made PARTITION OF part FOR VALUES IN ('own.lone'::regclass::oid::int)",
                      "CREATE TABLE made PARTITION OF part FOR VALUES IN ((random() * 1000000)::int)", "CREATE TABLE made PARTITION OF part FOR VALUES IN (pg_backend_pid())",
                      "CREATE TABLE made PARTITION OF span FOR VALUES FROM (clock_timestamp()) TO (MAXVALUE)", "CREATE TABLE made PARTITION OF part FOR VALUES IN (length(current_user))"):
        check(sqlstate(lambda s=statement: c.run(1, s, user="alice")) is not None, f"not refused: {statement}")
        check(sqlstate(lambda s=statement: c.run(1, "BEGIN", s, "COMMIT", user="alice")) is not None, f"not refused in a transaction: {statement}")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT relname FROM pg_class WHERE relname ~ '^made' UNION SELECT proname FROM pg_proc WHERE proname ~ '^made'"), [], f"member {i}")
    c.run(2, "CREATE TABLE made (LIKE part)", "CREATE TABLE made_0 PARTITION OF part FOR VALUES IN (-1, 1 + 1, NULL)", "CREATE TABLE made_1 PARTITION OF part FOR VALUES IN (length('abc'))",
          "CREATE TABLE made_2 PARTITION OF span FOR VALUES FROM (MINVALUE) TO ('2024-01-01')", "CREATE TABLE made_3 PARTITION OF span FOR VALUES FROM (date '2024-01-01') TO (now() + '1 day')",
          "CREATE FUNCTION made(a part.a%TYPE) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.part, information_schema.tables'", user="alice")
    c.settle()
    bounds = "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname ~ '^made' ORDER BY 1"
    equal({str(c.run(i, "SET timezone = 'UTC'", bounds)) for i in c.members()}, {str(c.run(1, "SET timezone = 'UTC'", bounds))}, "bounds")
    c.run(1, "DROP TABLE made, part, span", "DROP FUNCTION made(int)", "DROP TABLE own.lone", "DROP FUNCTION own.lone_f()", "DROP DOMAIN own.lone_d")


@suite.test
def h05_schemas_of_one_member(c):
    """IF EXISTS finds nothing in a schema that is not there, and may not look into one that is."""
    c.run(1, "CREATE SCHEMA lone", "CREATE TABLE lone.t (id int)", "CREATE TYPE lone.pair AS (a int)", "CREATE FUNCTION lone.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    for make, drop in (("TABLE made (id int PRIMARY KEY)", "TABLE IF EXISTS lone.{}, made"), ("TYPE made AS (a int)", "TYPE IF EXISTS lone.{}, made"), ("VIEW made AS SELECT 1 AS x", "VIEW IF EXISTS made, lone.{}"),
                       ("FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "FUNCTION IF EXISTS lone.{}(), made()"), ("SEQUENCE made", "SEQUENCE IF EXISTS lone.{}, made"),
                       ("FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "FUNCTION IF EXISTS made(lone.{}), made()"),
                       ("FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "FUNCTION IF EXISTS made(lone.{}.a%TYPE), made()"),
                       ("OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)", "OPERATOR IF EXISTS ===(lone.{}, int), ===(int, int)")):
        c.run(3, f"CREATE {make}")
        c.settle()
        height = c.value(2, "SELECT max(height) FROM dadbs_internal.transaction")  # after all of them
        for member in (1, 2):
            for name in ("t", "pair", "f", "none"):
                state = sqlstate(lambda: c.run(member, f"DROP {drop.format(name)}"))
                check(state in ("0A000", "42809"), f"{drop.format(name)} on member {member}: {state}")
                equal(sqlstate(lambda: c.run(member, "BEGIN", f"DROP {drop.format(name)}", "COMMIT")), state, f"{drop.format(name)} in a transaction")
        c.settle()
        equal(c.value(2, "SELECT max(height) FROM dadbs_internal.transaction"), height, "nothing was ordered")
        kind = make.split()[0]
        c.run(3, f"DROP {kind} {'=== (int, int)' if kind == 'OPERATOR' else 'made'}")
    c.run(2, "DROP TABLE IF EXISTS lone.t", "DROP TABLE IF EXISTS lone.t, own.none", "DROP TYPE IF EXISTS own.none, none_such.none", "DROP SCHEMA IF EXISTS none_such, none_too")
    c.run(1, "DROP SCHEMA lone CASCADE")


@suite.test
def h04_functions_that_say_they_are_immutable(c):
    """What a definition fills or judges rows by, or computes a bound with, is computed by each member."""
    c.run(1, "CREATE TABLE filled (id int PRIMARY KEY, v int)", "INSERT INTO filled VALUES (1, 1), (2, 2)", "CREATE TABLE listed (a int) PARTITION BY LIST (a)",
          "CREATE FUNCTION any_number(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN (random() * 1e9)::int; END'",
          "CREATE FUNCTION any_sql(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT (random() * 1e9)::int'",
          "CREATE FUNCTION own_number(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_backend_pid(); END'",
          "CREATE FUNCTION good(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN length(format(''%s|%s'', $1, now())) + extract(year FROM now())::int; END'", user="alice")
    c.settle()
    for statement in ("ALTER TABLE filled ADD COLUMN c int DEFAULT {}(1)", "ALTER TABLE filled ADD COLUMN c int GENERATED ALWAYS AS ({}(id)) STORED",
                      "ALTER TABLE filled ALTER v TYPE bigint USING {}(v)", "ALTER TABLE filled ADD CHECK ({}(v) % 2 = 0)", "CREATE INDEX ON filled ({}(v))",
                      "CREATE TABLE listed_0 PARTITION OF listed FOR VALUES IN ({}(1))"):
        for function in ("any_number", "any_sql", "own_number"):
            equal(sqlstate(lambda: c.run(1, statement.format(function), user="alice")), "0A000", statement.format(function))
    c.run(2, "ALTER TABLE filled ADD COLUMN c int DEFAULT good(1)", "ALTER TABLE filled ADD CHECK (good(v) > 0)", "CREATE TABLE listed_0 PARTITION OF listed FOR VALUES IN (good(1))", user="alice")
    c.settle()
    equal(len({str(c.run(i, "SELECT * FROM filled ORDER BY 1")) for i in c.members()}), 1, "rows")
    c.run(1, "DROP TABLE filled, listed", "DROP FUNCTION any_number, any_sql, own_number, good", user="alice")


@suite.test
def h05_temporary_objects_give_way(c):
    """Sessions may use shared types in temporary tables: the group's changes take what stands in their way."""
    idle = c.connect(2)
    with idle.cursor() as cursor:
        cursor.execute(OWNER)
        cursor.execute("CREATE TEMP TABLE k (id int DEFAULT nextval('public.numbers'), m public.mood, s public.small CHECK (public.twice(s) > -9))")
        cursor.execute("CREATE TEMP TABLE l (LIKE public.t INCLUDING ALL)")
        cursor.execute("CREATE TEMP TABLE r (whole public.t, many public.t[])")
        cursor.execute("CREATE TEMP TABLE n (nested public.outer_type)")
        cursor.execute("INSERT INTO k (m, s) VALUES ('ok', -4)")
        cursor.execute("PREPARE p AS SELECT * FROM public.t")
        cursor.execute("DECLARE h CURSOR WITH HOLD FOR SELECT * FROM public.t")
    for statement in ("ALTER DOMAIN small ADD CHECK (VALUE > 0)", "ALTER TABLE t ADD COLUMN x int", "DROP VIEW seen", "ALTER TABLE t ALTER s TYPE int", "DELETE FROM t WHERE id = 1",
                      "DROP SEQUENCE numbers", "DROP FUNCTION twice(int)", "DROP TYPE outer_type", "DROP TABLE t", "DROP TYPE mood", "DROP DOMAIN small"):
        equal(sqlstate(lambda s=statement: c.run(3, s)), None, statement)
        c.settle(15)
    idle.close()
    everywhere(c, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", [(0,)], "shared relations")


@suite.test
def h05_what_this_member_has_computed(c):
    """Indexes and generated columns of local tables stop nobody from replacing a function, tables OF a type nobody from renaming what is in it; nothing local changes what is shared."""
    c.run(1, "CREATE FUNCTION doubled(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2'", "CREATE TYPE pair AS (a int, b int)", "CREATE TYPE shade AS ENUM ('dark')",
          "CREATE OPERATOR #### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)")
    c.settle()
    idle = c.connect(2)
    execute(idle, OWNER, "CREATE TEMP TABLE k (id int, g int GENERATED ALWAYS AS (public.doubled(id)) STORED, h int DEFAULT public.doubled(1))", "INSERT INTO k VALUES (1)",
            "CREATE TEMP TABLE l (id int)", "CREATE INDEX ON l (public.doubled(id))", "CREATE TEMP TABLE typed OF public.pair", "CREATE TEMP TABLE uses (p public.pair)")
    for statement in ("CREATE OR REPLACE FUNCTION doubled(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 3'", "ALTER TYPE pair RENAME ATTRIBUTE a TO c",
                      "ALTER TYPE pair RENAME ATTRIBUTE b TO d CASCADE", "ALTER FUNCTION doubled(int) COST 5", "ALTER FUNCTION doubled(int) RENAME TO tripled"):
        equal(sqlstate(lambda: c.run(3, statement)), None, statement)
        c.settle(15)
    left = execute(idle, "SELECT (SELECT count(*) FROM pg_attribute WHERE attrelid = 'k'::regclass AND attname IN ('id', 'g', 'h')), (SELECT count(*) FROM uses), to_regclass('typed') IS NULL")
    equal(left, [(2, 0, True)], "what the session has left")
    idle.close()
    c.run(1, "CREATE FUNCTION own.f(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'")
    for statement in ("CREATE INDEX CONCURRENTLY lone ON own.notes (public.tripled(id))", "CREATE INDEX CONCURRENTLY lone ON own.notes (id) WHERE public.tripled(id) > 0",
                      "CREATE SCHEMA lone GRANT CREATE ON SCHEMA public TO alice", "CREATE SCHEMA lone GRANT EXECUTE ON FUNCTION public.tripled(int) TO alice",
                      "CREATE OPERATOR own.!## (LEFTARG = int, RIGHTARG = int, FUNCTION = own.f, NEGATOR = OPERATOR(public.####))",
                      "CREATE OPERATOR own.!## (LEFTARG = int, RIGHTARG = int, FUNCTION = own.f, COMMUTATOR = ####)", "CREATE OPERATOR #!# (LEFTARG = int, RIGHTARG = int, FUNCTION = int4ne, NEGATOR = OPERATOR(own.!##))",
                      "EXPLAIN ANALYZE CREATE TABLE own.lone AS SELECT 'dark'::public.shade AS s"):
        check(sqlstate(lambda: c.run(1, statement)) in NOT_HERE, f"not refused: {statement}")
    equal(c.run(1, "SELECT (SELECT count(*) FROM pg_class WHERE relname = 'lone'), (SELECT count(*) FROM pg_namespace WHERE nspname = 'lone'), (SELECT count(*) FROM pg_operator WHERE oprname IN ('!##', '#!#'))"),
          [(0, 0, 0)], "nothing was made")
    c.run(1, "CREATE INDEX CONCURRENTLY lone ON own.notes (upper(v)) WHERE id > 0", "EXPLAIN ANALYZE CREATE TABLE own.plain AS SELECT 1 AS x", "CREATE SCHEMA lone CREATE TABLE x (id int) GRANT SELECT ON x TO alice",
          "DROP INDEX own.lone", "DROP TABLE own.plain", "DROP SCHEMA lone CASCADE", "DROP FUNCTION own.f(int, int)", "CREATE EXTENSION citext SCHEMA own", "DROP EXTENSION citext")
    c.run(3, "CREATE FUNCTION of_all() RETURNS SETOF dadbs.blocks LANGUAGE sql AS 'SELECT * FROM dadbs.blocks'", "DROP FUNCTION of_all()")  # every member has it
    c.run(3, "DROP FUNCTION tripled(int)", "DROP TYPE pair, shade", "DROP OPERATOR #### (int, int)")


@suite.test
def h05_roles_extensions_event_triggers(c):
    c.run(1, "CREATE EXTENSION citext SCHEMA own", "CREATE FUNCTION own.stop() RETURNS event_trigger LANGUAGE plpgsql AS "
             "'BEGIN RAISE EXCEPTION ''not on this member''; END'")
    refused(c, "0A000", "CREATE EXTENSION pg_trgm SCHEMA public")
    refused(c, NOT_HERE, "CREATE TABLE tagged (id int PRIMARY KEY, v own.citext)")
    refused(c, NOT_HERE, "CREATE TABLE tagged (id int PRIMARY KEY, v text CHECK (v OPERATOR(own.=) 'x'::own.citext))")
    for event in ("ddl_command_start", "ddl_command_end", "sql_drop", "table_rewrite"):
        state = sqlstate(lambda e=event: c.run(1, f"CREATE EVENT TRIGGER stop_{e} ON {e} EXECUTE FUNCTION own.stop()"))
        check(state in (None, "0A000", "P0001"), f"event trigger on {event}: {state}")
    state = sqlstate(lambda: c.run(1, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO only_here"))
    check(state in (None, "42704", *NOT_HERE), f"default privileges for a role of this member: {state}")
    state = sqlstate(lambda: c.run(1, "ALTER DEFAULT PRIVILEGES FOR ROLE dadbs_owner GRANT ALL ON TABLES TO only_here"))
    check(state in (None, "42704", *NOT_HERE), f"default privileges of dadbs_owner: {state}")
    for k, member in enumerate((2, 1)):
        c.run(member, f"CREATE TABLE made{k} (id int PRIMARY KEY, v int)", f"INSERT INTO made{k} VALUES (1, 1)", f"ALTER TABLE made{k} ALTER v TYPE bigint")
        c.settle()
    acl = {str(c.run(i, "SELECT relname, relacl::text, pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^made.$' ORDER BY 1")) for i in c.members()}
    equal(len(acl), 1, f"owners and privileges: {acl}")
    for k, member in enumerate((1, 3)):
        c.run(member, f"DELETE FROM made{k}", f"DROP TABLE made{k}")
        c.settle()
    everywhere(c, "SELECT count(*) FROM pg_class WHERE relname ~ '^made'", [(0,)], "tables")


@suite.test
def h16_code_that_came_over_the_chain(c):
    """Member 4 orders what reads files and runs programs; a superuser of member 2 writes a row."""
    stolen = os.path.join(c.base, "stolen")
    os.mkdir(stolen)
    if os.geteuid() == 0:
        shutil.chown(stolen, "postgres")
    program = f"COPY (SELECT 1) TO PROGRAM ''touch {stolen}/program''"
    c.run(4, "CREATE FUNCTION run() RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE '" + program + "'; RETURN 'run'; END $$",
          "CREATE FUNCTION read() RETURNS text LANGUAGE sql AS $$ SELECT pg_read_file('PG_VERSION') $$",
          "CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM run(); RETURN NEW; END $$",
          "CREATE FUNCTION lent() RETURNS text SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN RETURN run(); END $$",
          "CREATE FUNCTION positive(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM run(); RETURN true; END $$",
          "CREATE TABLE by_trigger (id int PRIMARY KEY)", "CREATE TRIGGER fire BEFORE INSERT ON by_trigger FOR EACH ROW EXECUTE FUNCTION fire()",
          "CREATE TABLE by_default (id int PRIMARY KEY, v text DEFAULT read())", "CREATE TABLE by_definer (id int PRIMARY KEY, v text DEFAULT lent())",
          "CREATE TABLE by_check (id int PRIMARY KEY CHECK (positive(id)))", "CREATE TABLE by_index (id int PRIMARY KEY)",
          "CREATE INDEX ON by_index (id) WHERE positive(id)", "CREATE VIEW by_view AS SELECT run() AS v",
          "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC")
    c.settle()
    c.run(2, "CREATE ROLE honest LOGIN")
    c.settle()
    for table in ("by_trigger", "by_default", "by_definer", "by_check", "by_index"):
        refused(c, "42501", f"INSERT INTO {table} (id) VALUES (1)", member=2)
        state = sqlstate(lambda t=table: c.run(2, f"INSERT INTO {t} (id) VALUES (2)", user="honest"))
        check(state in NOT_HERE, f"{table} by an ordinary role: {state}")
        everywhere(c, f"SELECT count(*) FROM {table}", [(0,)], table)
    refused(c, "42501", "SELECT * FROM by_view", member=2)
    equal(os.listdir(stolen), [], "files that programs made")


@suite.test
def h16_built_in_functions_with_the_rights_of_others(c):
    """No function of the group stands between here: DEFAULT pg_read_file() would run as whoever inserts."""
    files = {"pg_read_file": "pg_read_file('PG_VERSION')", "set_config": "set_config('dadbs.run_shared_code', 'on', false)",
             "query": "query_to_xml('SELECT * FROM pg_authid', true, false, '')::text", "table": "table_to_xml('pg_authid', true, false, '')::text",
             "lo": "lo_export(1, '/tmp/x')::text", "kill": "pg_terminate_backend(1)::text", "slot": "pg_drop_replication_slot('s')::text",
             "extension": "dadbs.create_cluster()", "setting": "current_setting('primary_conninfo', true)",
             "any setting": "current_setting(lower('primary_conninfo'))"}
    c.run(4, "CREATE TABLE plain (id int PRIMARY KEY, v text)")
    c.settle()
    for name, call in files.items():
        for statement in (f"CREATE TABLE x (id int PRIMARY KEY, v text DEFAULT {call})", f"ALTER TABLE plain ALTER v SET DEFAULT {call}",
                          f"CREATE DOMAIN d AS text DEFAULT {call}", f"CREATE VIEW v AS SELECT {call} AS v",
                          f"CREATE VIEW v AS SELECT id FROM plain WHERE id IN (SELECT length({call}))",
                          f"CREATE TRIGGER w BEFORE INSERT ON plain FOR EACH ROW WHEN ({call} <> '') EXECUTE FUNCTION fire()"):
            refused(c, "0A000", statement, member=4)
            refused(c, "0A000", "BEGIN", statement, "COMMIT", member=4)
    # What defaults are made of every day goes on.
    c.run(4, "CREATE TABLE everyday (id serial PRIMARY KEY, u uuid DEFAULT gen_random_uuid(), r float DEFAULT random(), t timestamptz DEFAULT clock_timestamp(), "
             "n timestamptz DEFAULT now(), d date DEFAULT current_date, w text DEFAULT current_user, s text DEFAULT current_setting('application_name'))",
          "CREATE VIEW everyday_view AS SELECT *, to_char(n, 'YYYY') FROM everyday", "GRANT ALL ON everyday TO PUBLIC")
    c.settle()
    equal(sqlstate(lambda: c.run(2, "INSERT INTO everyday DEFAULT VALUES", "SELECT * FROM everyday_view")), None, "ordinary defaults")
    equal(c.value(2, "SELECT v FROM plain UNION ALL SELECT 'empty'"), "empty", "rows of plain")


@suite.test
def h16_what_else_runs_code(c):
    for statement in ("CREATE FUNCTION r(text) RETURNS text LANGUAGE internal AS 'pg_read_file_all'", "CREATE FUNCTION r() RETURNS int LANGUAGE c AS 'dadbs', 'x'",
                      "CREATE RULE r AS ON INSERT TO plain DO ALSO SELECT pg_read_file('PG_VERSION')",
                      "CREATE AGGREGATE a (text) (SFUNC = pg_read_file, STYPE = text)"):
        state = sqlstate(lambda s=statement: c.run(4, s))
        check(state is not None and state[:2] in ("0A", "42"), f"{statement}: {state}")
    # Superusers' own definitions are the group's owner's, who is none.
    c.run(4, "CREATE FUNCTION supers() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT pg_read_file('PG_VERSION') $$")
    c.settle()
    refused(c, "42501", "SELECT supers()", member=2, user="honest")
    # A transaction with rows of shared and other tables would be replayed by half.
    refused(c, "0A000", "BEGIN", "INSERT INTO plain VALUES (1, '')", "INSERT INTO own.notes VALUES (1, '')", "COMMIT", member=3)
    everywhere(c, "SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM own.notes)", [(0, 0)], "rows")


def preload(c, member, libraries):
    """Restarts the member; it need not become ready."""
    c.stop_member(member)
    with open(os.path.join(c.dir, f"m{member}", "postgresql.conf"), "a") as conf:
        conf.write(f"shared_preload_libraries = '{libraries}'\n")
    c.start_member(member)


@suite.test
def h18_library_that_writes_at_commit(c):
    """Loaded before dadbs, its callback runs after ours: what it writes would be nobody's. Such a member does not share."""
    build = os.path.join(c.base, "commit_writer")
    shutil.copytree(os.path.join(ROOT, "test", "modules", "commit_writer"), build)
    config = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")
    done = subprocess.run(["make", "-C", build, f"PG_CONFIG={config}"], capture_output=True, text=True)
    equal(done.returncode, 0, f"the module is built: {done.stdout}{done.stderr}")
    library = os.path.join(build, "commit_writer.so")
    c.run(1, "CREATE TABLE h18 (id int PRIMARY KEY)", "CREATE TABLE h18_log (id serial PRIMARY KEY)")
    c.settle()
    writes = "SET commit_writer.statement = 'INSERT INTO public.h18_log DEFAULT VALUES'"
    preload(c, 3, f"{library}, dadbs")
    said = eventually(lambda: c.value(3, "SELECT reason FROM dadbs.status"), 30, "the member says why it does not share")
    check("first library" in said, f"what it says: {said}")
    for statement in ("INSERT INTO h18 VALUES (1)", "CREATE TABLE h18_more (id int)"):
        refused(c, ("DA002", "DA003"), "SET dadbs.start_read_timeout = '1s'", writes, statement, member=3)
    preload(c, 3, f"dadbs, {library}")
    c.wait_ready()
    c.run(3, writes, "INSERT INTO h18 VALUES (2)")
    everywhere(c, "SELECT (SELECT count(*) FROM h18), (SELECT count(*) FROM h18_log)", [(1, 1)], "rows of the statement and of the callback")
    # Loaded by a session, it is after dadbs too.
    c.run(4, f"LOAD '{library}'", writes, "INSERT INTO h18 VALUES (3)")
    with transaction(c, 4, f"LOAD '{library}'", writes, OWNER, "UPDATE h18 SET id = 4 WHERE id = 3") as local:
        local.commit()
    everywhere(c, "SELECT (SELECT count(*) FROM h18), (SELECT count(*) FROM h18_log)", [(2, 3)], "rows")


if __name__ == "__main__":
    suite.main()
