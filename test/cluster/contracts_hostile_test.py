"""Contracts whose author means ill: what differs between members, what has rights that he has not.

The members differ as honest ones may: member 2 has tables and a role of its own, so its catalogs number what comes later otherwise.
"""
import time

import psycopg2

from clients import await_applied, end_worker, everywhere, refused
from harness import Suite, Workers, check, equal, sqlstate

# One member is enough to replace contracts here: contract_approval_test.py has the other case.
suite = Suite("contracts_hostile", port=8200, begin=lambda c: c.start(["--approvals", "1"]))
FORBIDDEN_HERE = "0A000"


def deploy(c, name, body, member=1, user="postgres"):
    unchecked = ["SET dadbs.deploy_unchecked = on"] if user == "postgres" else []
    c.run(member, *unchecked, f"SELECT dadbs.deploy_contract('{name}', $body${body}$body$)", user=user)
    c.settle()


def attach(c, name, table, more="", member=1):
    c.run(member, f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW {more} EXECUTE FUNCTION dadbs.contract('{name}')")
    c.settle()


@suite.test
def numbers_of_one_member(c):
    """OIDs in arrays, rows and domains, hashes of them, names of portals, roles and databases: 0A000 on every member."""
    c.run(2, *[f"CREATE TEMP TABLE t{i} (a text)" for i in range(5)])
    c.run(1, "CREATE TYPE hue AS ENUM ('red', 'blue')", "CREATE TYPE pair AS (c regclass, n int)", "CREATE DOMAIN table_name AS regclass",
          "CREATE TYPE role_range AS (r regrole)",
          "CREATE TABLE here (id int PRIMARY KEY, e hue)", "CREATE TABLE out (id int PRIMARY KEY, v text)")
    bodies = {
        "r regclass[] := '{here}'; o oid[]": "o := r; x := o",
        "r regclass[] := '{here}'": "x := hash_array(r)",
        "r table_name := 'here'": "x := hash_record(row(r))",
        "p pair := row('here', 1)": "x := hash_record(p)",
        "a1 int": "x := hashenum(NEW.e)",
        "a2 int": "x := hash_record(row(NEW.e))",
        "a3 int": "x := hash_record(NEW)",
        "a4 int": "x := hash_array(ARRAY[NEW.e])",
        "k refcursor": "OPEN k FOR SELECT 1; x := k",
        "a5 int": "x := current_database()",
        "a6 int": "x := getpgusername()",
        "g regrole": "g := 'postgres'::text",
        "g regrole[]": "g := '{postgres}'::text",
        "g role_range": "g := '(postgres)'::text",
        "g aclitem": "g := 'postgres=r/postgres'::text",
        "a7 int": "PERFORM 'postgres=r/postgres'::aclitem",
        "a8 int": "PERFORM * FROM jsonb_to_record('{\"r\": \"postgres\"}') AS j(r regrole)",
        "a9 int": "PERFORM jsonb_populate_record(null::role_range, '{\"r\": \"postgres\"}')",
        "a11 int": "x := array_send(ARRAY[NEW.e])",
        "a12 int": "x := record_send(row(NEW.e))",
        "a10 int": "PERFORM upper('a' COLLATE \"C.utf8\")",
    }
    wrong = []
    for i, (declared, body) in enumerate(bodies.items()):
        try:
            deploy(c, "numbers", f"DECLARE x text; {declared}; BEGIN {body}; INSERT INTO out VALUES (NEW.id, x); RETURN NULL; END")
            if i == 0:
                attach(c, "numbers", "here")
            state = sqlstate(lambda: c.run(1, f"INSERT INTO here VALUES ({i}, 'red')"))
        except psycopg2.Error as e:
            state = "deploy " + str(e)
        c.settle()
        if state != FORBIDDEN_HERE:
            wrong.append((declared, body, state, [c.run(m, f"SELECT v FROM out WHERE id = {i}") for m in c.members()]))
    equal("\n".join(map(str, wrong)), "", "what passed")


@suite.test
def aggregates(c):
    """An aggregate calls its functions without showing them."""
    c.run(1, "CREATE TABLE agg (id int PRIMARY KEY)", "CREATE TABLE agg_out (id int PRIMARY KEY, v text)")
    c.run(1, "CREATE AGGREGATE setting_of(bool) (SFUNC = current_setting, STYPE = text, INITCOND = 'port')")
    c.settle()
    deploy(c, "agg", "BEGIN INSERT INTO agg_out SELECT NEW.id, setting_of(true); RETURN NULL; END")
    attach(c, "agg", "agg")
    equal((sqlstate(lambda: c.run(1, "INSERT INTO agg VALUES (1)")), [c.run(m, "SELECT v FROM agg_out") for m in c.members()]),
          (FORBIDDEN_HERE, [[]] * 4), "a port")


@suite.test
def conditions_have_no_rights(c):
    """The WHEN of a trigger is evaluated as the table's owner, not as the apply worker's superuser."""
    c.run(1, "CREATE ROLE mallory LOGIN", "CREATE ROLE bob LOGIN", "GRANT CREATE ON SCHEMA public, contracts TO mallory",
          "CREATE FUNCTION hidden() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
          "REVOKE EXECUTE ON FUNCTION hidden() FROM PUBLIC", "GRANT EXECUTE ON FUNCTION hidden() TO bob")
    c.settle()
    c.run(1, "CREATE TABLE bait (id int PRIMARY KEY)", "GRANT INSERT ON bait TO bob",
          "CREATE FUNCTION look() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.hidden(); END'", user="mallory")
    deploy(c, "bait", "BEGIN RETURN NULL; END", user="mallory")
    c.run(1, "CREATE TRIGGER bait AFTER INSERT ON bait FOR EACH ROW WHEN (look()) EXECUTE FUNCTION dadbs.contract('bait')", user="mallory")
    c.settle()
    refused(c, "42501", "INSERT INTO bait VALUES (1)", member=3, user="bob")


@suite.test
def a_contract_sets_nothing(c):
    """Neither its arguments nor its type hold more of CREATE FUNCTION than they say."""
    end = "LANGUAGE plpgsql SET lc_monetary = 'C' AS 'BEGIN RETURN NULL; END' --"
    refused(c, "42P13", "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('set', 'BEGIN RETURN NULL; END', returns => $$trigger {end}$$)")
    refused(c, "42P13", "SET dadbs.deploy_unchecked = on",
            f"SELECT dadbs.deploy_contract('set', 'BEGIN RETURN NULL; END', arguments => $$) RETURNS int {end}$$, returns => 'int')")


@suite.test
def cancelled_in_raise(c):
    """A member's own failure while the parameter of RAISE is evaluated is no verdict."""
    c.run(1, "CREATE TABLE slow (id int PRIMARY KEY)")
    deploy(c, "slow", "BEGIN RAISE NOTICE '%', length(factorial(NEW.id)::text); RETURN NULL; END")
    attach(c, "slow", "slow")
    c.settle()
    work = Workers()
    work.start(lambda _: c.run(2, "INSERT INTO slow VALUES (20000)"))
    cancel = ("SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity WHERE backend_type = 'dadbs apply' AND backend_xid IS NOT NULL "
              "AND wait_event IS NULL")
    await_applied(c, 3, cancel, "the contract of the row")
    time.sleep(0.3)
    c.run(3, cancel)
    work.join()
    c.settle()
    everywhere(c, "SELECT id FROM slow", [(20000,)], "rows")


DEEP = 200_000  # levels: more than any member's stack holds
TOO_DEEP = "54000"


@suite.test
def nested_by_the_caller(c):
    """Who calls a contract, or writes a row of its table, cannot stop the chain with a value that no stack holds."""
    nest, patterns = f"repeat('[', {DEEP})", f"repeat('%a', {DEEP})"
    c.run(1, "CREATE TYPE holder AS (doc jsonb)", "CREATE TYPE outer_holder AS (inner_one holder)", "CREATE DOMAIN doc AS jsonb",
          "CREATE DOMAIN json_text AS text CHECK (VALUE::json IS NOT NULL)", "CREATE TABLE checked (v text CHECK (v::jsonb IS NOT NULL))",
          "CREATE TABLE alike (v text, CHECK ('a' LIKE v))", "CREATE TABLE indexed (v text)", "CREATE INDEX ON indexed ((v::jsonb))",
          "CREATE TYPE labelled AS (n text, v text)", "CREATE TABLE conditional (id int PRIMARY KEY, v text)",
          "CREATE TABLE made (v text, j jsonb GENERATED ALWAYS AS (v::jsonb) STORED)",
          "CREATE TABLE nest (id int PRIMARY KEY, v text)", "CREATE TABLE seen (id int PRIMARY KEY, v text)")
    bodies = {  # body, what is passed, the SQLSTATE
        "x := a::jsonb": (nest, TOO_DEEP),
        "x := a::json": (nest, TOO_DEEP),
        "x := a::json -> 0": (nest, TOO_DEEP),
        "x := a::doc": (nest, TOO_DEEP),
        "PERFORM a::jsonb @> '[1]'": (nest, TOO_DEEP),
        "SELECT a::jsonb INTO j": (nest, TOO_DEEP),
        "j := a": (nest, TOO_DEEP),
        "j['k'] := a::jsonb": (nest, TOO_DEEP),
        "PERFORM * FROM json_array_elements(a::json)": (nest, TOO_DEEP),
        "PERFORM json_typeof(e) FROM (SELECT a::json AS e) t": (nest, TOO_DEEP),
        "FOR i IN 1..5000 LOOP j := jsonb_build_array(j); END LOOP": ("'x'", TOO_DEEP),
        "FOR i IN 1..5000 LOOP j := to_jsonb(ARRAY[j]); END LOOP": ("'x'", TOO_DEEP),
        "FOR i IN 1..5000 LOOP h := row(to_jsonb(h))::holder; END LOOP": ("'x'", TOO_DEEP),
        "PERFORM 'aaa' LIKE a": (patterns, TOO_DEEP),
        "PERFORM 'aaa' ILIKE '%' || a": (patterns, TOO_DEEP),
        "SELECT a INTO j": (nest, FORBIDDEN_HERE),
        "SELECT row(a) INTO h": (nest, FORBIDDEN_HERE),
        "FOR j IN SELECT a LOOP x := 1; END LOOP": (nest, FORBIDDEN_HERE),
        "FOREACH j IN ARRAY ARRAY[a] LOOP x := 1; END LOOP": (nest, FORBIDDEN_HERE),
        "DECLARE k jsonb := a; BEGIN x := k; END": (nest, FORBIDDEN_HERE),
        "OPEN k FOR SELECT a; FETCH k INTO j": (nest, FORBIDDEN_HERE),
        "x := a::jsonb[]": (f"'{{\"' || {nest} || '\"}}'", FORBIDDEN_HERE),
        "x := a::holder": (f"'(' || {nest} || ')'", FORBIDDEN_HERE),
        "PERFORM jsonb_populate_record(null::outer_holder, jsonb_build_object('inner_one', '(' || a || ')'))": (nest, FORBIDDEN_HERE),
        "PERFORM * FROM jsonb_to_record(jsonb_build_object('h', '(' || a || ')')) AS t(h holder)": (nest, FORBIDDEN_HERE),
        "PERFORM jsonb_in(textout(a))": (nest, FORBIDDEN_HERE),
        "x := a::json_text": (nest, FORBIDDEN_HERE),
        "DECLARE e json_text := a; BEGIN x := e; END": (nest, FORBIDDEN_HERE),
        "h := ROW(a)": (nest, FORBIDDEN_HERE),
        "OPEN k FOR SELECT a; FETCH k INTO h.doc": (nest, FORBIDDEN_HERE),
        "FOREACH x, j IN ARRAY ARRAY[ROW('1', a)::labelled] LOOP x := j; END LOOP": (nest, FORBIDDEN_HERE),
        "SELECT a INTO r.f": (nest, FORBIDDEN_HERE),
        "r := row(1); FOR i IN 1..2000 LOOP r := row(r); END LOOP; j := to_jsonb(r)": ("'x'", TOO_DEEP),
        "r := row(1); FOR i IN 1..2000 LOOP r := row(r); END LOOP; x := r::text": ("'x'", TOO_DEEP),
        "INSERT INTO conditional VALUES (1, a)": (nest, FORBIDDEN_HERE),
        "PERFORM replaces(v, a) FROM (VALUES ('x')) AS t(v)": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "x := jsonb_set(jsonb_in => j, path => ARRAY['a'], replacement => a::jsonb)": (nest, TOO_DEEP),
        "RETURN_JSON a": (nest, FORBIDDEN_HERE),
        "INSERT INTO checked VALUES (a)": (nest, FORBIDDEN_HERE),
        "INSERT INTO alike VALUES (a)": (patterns, FORBIDDEN_HERE),
        "INSERT INTO indexed VALUES (a)": (nest, FORBIDDEN_HERE),
        "INSERT INTO made VALUES (a)": (nest, FORBIDDEN_HERE),
        "PERFORM a::jsonpath": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "PERFORM to_tsquery('simple', a)": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "PERFORM 'x' ~ a": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "PERFORM regexp_replace('x', a, '')": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "PERFORM 'x' SIMILAR TO a": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
        "PERFORM substring('x' from a)": (f"repeat('(', {DEEP})", FORBIDDEN_HERE),
    }
    c.settle()
    c.run(1, "CREATE AGGREGATE replaces(text, text) (SFUNC = regexp_replace, STYPE = text, INITCOND = 'x')")
    deploy(c, "nothing", "BEGIN RETURN NULL; END")
    c.run(1, "CREATE TRIGGER conditional AFTER INSERT ON conditional FOR EACH ROW WHEN (NEW.v::jsonb IS NOT NULL) EXECUTE FUNCTION dadbs.contract('nothing')")
    wrong = []
    for i, body in enumerate(bodies):
        call_body = f"DECLARE x text; j jsonb := '{{}}'; h holder; k refcursor; r record; BEGIN {body.replace('RETURN_JSON', 'RETURN')}; END"
        told = c.value(1, f"""SELECT count(*) FROM dadbs.analyze_contract($body${call_body}$body$, arguments => 'a text',
                               returns => '{'jsonb' if 'RETURN_JSON' in body else 'void'}') WHERE rule = 'uncounted_nesting'""") > 0
        if told != (bodies[body][1] == FORBIDDEN_HERE):
            wrong.append((body, "the analysis tells" if told else "the analysis does not tell"))
        try:
            c.run(1, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('nest{i}', $body${call_body}$body$, arguments => 'a text', "
                     f"returns => '{'jsonb' if 'RETURN_JSON' in body else 'void'}')")
        except psycopg2.Error as e:
            wrong.append((body, f"deploy: {e}"))
    c.settle()
    for i, (body, (argument, expected)) in enumerate(bodies.items()):
        state = sqlstate(lambda: c.run(1 + i % 4, "SET statement_timeout = '20s'", f"SELECT dadbs.call_contract('nest{i}', {argument})"))
        if state != expected:
            wrong.append((body, state, c.run(1, "SELECT state, reason FROM dadbs.status")))
    equal("\n".join(map(str, wrong)), "", "what was told otherwise")
    deploy(c, "nest", "DECLARE j jsonb; BEGIN j := NEW.v; INSERT INTO seen VALUES (NEW.id, j ->> 'a'); RETURN NULL; END")
    attach(c, "nest", "nest")
    equal(sqlstate(lambda: c.run(3, f"INSERT INTO nest VALUES (1, {nest})")), TOO_DEEP, "a row")
    # A value of type jsonb that the caller passes is read before; what descends into it is not the contract's own query.
    c.run(1, "CREATE TABLE descends (j jsonb CHECK (NOT j @> '[7]'))",
          "SELECT dadbs.deploy_contract('descend', 'BEGIN INSERT INTO descends VALUES (a); END', arguments => 'a jsonb', returns => 'void')",
          "CREATE TABLE merged (id int PRIMARY KEY, j jsonb)", "SELECT dadbs.deploy_contract('merging', 'BEGIN MERGE INTO merged USING (SELECT 1 AS id) s "
          "ON merged.id = s.id WHEN MATCHED THEN UPDATE SET j = a WHEN NOT MATCHED THEN INSERT VALUES (1, a); END', arguments => 'a jsonb', returns => 'void')")
    c.settle()
    shallow, deep = (f"(repeat('[', {n}) || repeat(']', {n}))::jsonb" for n in (900, 5000))
    for name in ("descend", "merging"):
        equal([sqlstate(lambda: c.run(2, f"SELECT dadbs.call_contract('{name}', {value})")) for value in (shallow, deep)], [None, TOO_DEEP], name)
    flat = "'{\"a\": ' || repeat('[', 990) || repeat(']', 990) || '}'"
    equal(sqlstate(lambda: c.run(3, f"INSERT INTO nest VALUES (2, {flat})")), None, "what is nested less")
    everywhere(c, "SELECT id, length(v) FROM seen", [(2, 1980)], "rows")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT state, can_write FROM dadbs.status"), [("ready", True)], f"member {i}")


@suite.test
def patterns_by_constants(c):
    """A CONSTANT counts as the literal that it is declared with, on every member, whenever the query was prepared; nothing else does."""
    deep = f"repeat('(', {DEEP})"
    c.run(1, "CREATE DOMAIN shape AS text", "CREATE TABLE shaped (v text PRIMARY KEY)",
          # Prepared outside of contracts, by the CHECK, and inside of them.
          """CREATE FUNCTION is_shaped(v text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$DECLARE form CONSTANT text := '^a+$'; BEGIN
               IF v = '' THEN DECLARE bad CONSTANT jsonpath := '+'; BEGIN RETURN bad IS NULL; END; END IF; RETURN v ~ form; END$$""",
          "CREATE FUNCTION is_alike(v text, p text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'DECLARE form CONSTANT text := p; BEGIN RETURN v ~ form; END'",
          "ALTER TABLE shaped ADD CHECK (is_shaped(v))")
    bodies = {  # declarations, expression; what is passed, what comes back
        ("c CONSTANT text := '^a'", "'abc' ~ c"): (deep, "true"),
        ("c CONSTANT text DEFAULT '^A'", "('abc' ~* c)::text || ('abc' ~ c)"): (deep, "truefalse"),
        ("c CONSTANT text := 'b'", "regexp_replace('abc', c, a)"): ("'-'", "a-c"),
        ("c CONSTANT text := 'b|c'", "('b' SIMILAR TO c)::text || substring('abc' from c)"): (deep, "trueb"),
        ("c CONSTANT jsonpath := '$.k[1]'", "jsonb_path_query_first(jsonb_build_object('k', ARRAY[a, 'y']), c)"): ("'x'", '"y"'),
        ("c CONSTANT tsquery := 'x & y'", "'x y'::tsvector @@ c"): (deep, "true"),
        ("c CONSTANT text := '[[1]]'", "c::jsonb -> 0"): (deep, "[1]"),
        ("c CONSTANT text := '^a'", "is_shaped(a)"): ("'aaa'", "true"),
        ("c CONSTANT text := '^a'", "is_shaped(a)::text || is_shaped('b')"): ("'aaa'", "truefalse"),
        ("c CONSTANT text := '^a'", "is_shaped(a || '')"): ("''", "42601"),
        ("c CONSTANT text := '^a'", "is_alike(a, a)"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := a", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("o text := '^a'; c CONSTANT text := o", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("o CONSTANT text := '^a'; c CONSTANT text := o", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c text := '^a'", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("d CONSTANT text := '^a'; c text := '^a'", "'abc' ~ c AND 'abc' ~ d"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT shape := '^a'", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT varchar(2) := '^a'", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := '^a' || a", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := (SELECT '^a')", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := '^a' WHERE a <> ''", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := NULL", "'abc' ~ c"): (deep, FORBIDDEN_HERE),
        ("c CONSTANT text := '^a'; d text := a", "(SELECT 'abc' ~ d WHERE 'a' ~ c)"): (deep, FORBIDDEN_HERE),
    }
    texts = [f"DECLARE {declared}; BEGIN RETURN {expression}; END" for declared, expression in bodies]
    expected = list(bodies.values())
    for body, result in {
            "DECLARE c CONSTANT text := '^a'; BEGIN DECLARE c text := a; BEGIN RETURN 'abc' ~ c; END; END": FORBIDDEN_HERE,
            "DECLARE c text := a; BEGIN DECLARE c CONSTANT text := '^a'; BEGIN RETURN 'abc' ~ c; END; END": "true",
            "DECLARE a CONSTANT text := '^a'; BEGIN RETURN 'abc' ~ a; END": "true",
            "<<o>> DECLARE c CONSTANT text := '^a'; BEGIN DECLARE c text := a; BEGIN RETURN 'abc' ~ o.c; END; END": "true",
            "DECLARE c CONSTANT text := '^a'; BEGIN FOR c IN 1..2 LOOP RETURN 'abc' ~ c::text; END LOOP; END": FORBIDDEN_HERE,
            "DECLARE c CONSTANT text := '^a'; BEGIN FOR i IN 1..3 LOOP IF 'abc' !~ c THEN RETURN i; END IF; END LOOP; RETURN c; END": "^a"}.items():
        texts.append(body)
        expected.append((deep, result))
    c.settle()
    for i, text in enumerate(texts):
        c.run(1, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('shapes{i}', $body${text}$body$, arguments => 'a text', returns => 'text')")
    c.run(2, "SET dadbs.run_shared_code = on", "INSERT INTO shaped VALUES ('a')")
    c.settle()
    end_worker(c, 3, "apply")  # it compiles and prepares all of it anew, and inside of contracts
    c.wait_ready()
    wrong = []
    for i, (argument, result) in enumerate(expected):
        try:
            state = c.value(1 + i % 4, f"SELECT dadbs.call_contract('shapes{i}', {argument})")
        except psycopg2.Error as e:
            state = e.pgcode
        if state != result:
            wrong.append((texts[i], state, result))
    equal("\n".join(map(str, wrong)), "", "what came to something else")
    equal(sqlstate(lambda: c.run(4, "SET dadbs.run_shared_code = on", "INSERT INTO shaped VALUES ('b')")), "23514", "what the CHECK refuses")
    c.settle()
    for i in range(len(texts)):
        told = [c.run(m, f"SELECT verdict, sqlstate, result FROM dadbs.contract_history('shapes{i}')") for m in c.members()]
        equal(told, [told[0]] * 4, f"what each member recorded of {texts[i]}")


@suite.test
def patterns_and_json_in_order(c):
    """What a contract may do with json and patterns gives what PostgreSQL gives."""
    body = """DECLARE j jsonb := '{"a": {"b": [1, 2]}}'; r record; BEGIN
      j := jsonb_set(j, '{a,b,0}', to_jsonb(a)); j['c'] := '5';
      SELECT j -> 'a' AS part, 'Hello' LIKE a || '%' AS alike, 'Hello' ~ '^H.l+o$' AS found INTO r;
      RETURN concat_ws(' ', j, r.part, r.alike, r.found, j @> '{"c": 5}', jsonb_path_query_first(j, '$.a.b[1]'), (a || '')::jsonb IS NULL,
                       (SELECT string_agg(v::text, ',' ORDER BY k) FROM jsonb_each(j) AS e(k, v)), to_jsonb(r)); END"""
    c.run(1, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('orderly', $body${body}$body$, arguments => 'a text', returns => 'text')")
    c.settle()
    told = c.value(2, "SELECT dadbs.call_contract('orderly', '\"H\"')")
    equal(told, '{"a": {"b": ["\\"H\\"", 2]}, "c": 5} {"b": ["\\"H\\"", 2]} f t t 2 f {"b": ["\\"H\\"", 2]},5 '
                '{"part": {"b": ["\\"H\\"", 2]}, "alike": false, "found": true}', "what it says")
    c.run(1, "CREATE TABLE docs (doc json NOT NULL)", "CREATE UNIQUE INDEX ON docs ((doc ->> 'id'))", "SET dadbs.deploy_unchecked = on",
          """SELECT dadbs.deploy_contract('ordinary', $body$DECLARE j jsonb := '{"k": 1}'; BEGIN
               INSERT INTO docs VALUES (json_build_object('id', a)) ON CONFLICT ((doc ->> 'id')) DO NOTHING;
               RETURN jsonb_set(jsonb_in => j, path => ARRAY['k'], replacement => to_jsonb(a))::text || jsonb_set(j, '{k}', new_value => '2')::text
                 || regexp_replace('a1b', '[0-9]', a); END$body$, arguments => 'a text', returns => 'text')""".replace("new_value", "replacement"))
    c.settle()
    equal([c.value(m, "SELECT dadbs.call_contract('ordinary', 'z')") for m in (3, 4)], ['{"k": "z"}{"k": 2}azb'] * 2, "names of arguments, an index to conflict with")
    everywhere(c, "SELECT doc ->> 'id' FROM docs", [("z",)], "documents")


@suite.test
def rows_that_triggers_return(c):
    """What a trigger's contract returns is thrown away, however it is computed."""
    c.run(1, "CREATE TABLE returned (id int PRIMARY KEY, v text)")
    c.settle()
    for i, what in enumerate(("CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END", "coalesce(NEW, OLD)", "(SELECT r FROM returned r WHERE r.id = NEW.id)")):
        deploy(c, f"returns{i}", f"BEGIN RETURN {what}; END")
        attach(c, f"returns{i}", "returned")
    equal(sqlstate(lambda: c.run(2, "SET dadbs.commit_timeout = '60s'", "INSERT INTO returned VALUES (1, 'a')")), None, "returned rows")
    everywhere(c, "TABLE returned", [(1, "a")], "rows")
    deploy(c, "returns_scalar", "DECLARE n int := 1; BEGIN RETURN n; END")
    attach(c, "returns_scalar", "returned")
    equal(sqlstate(lambda: c.run(2, "SET dadbs.commit_timeout = '60s'", "INSERT INTO returned VALUES (2, 'a')")), "42804", "no row")


@suite.test
def records_that_change(c):
    """A plan that one member still has, and another, restarted, has not, decides nothing: a record's field has now this type, now that."""
    c.run(1, """SELECT dadbs.deploy_contract('changing', $$DECLARE r record; x text; BEGIN
                  IF a = 'text' THEN SELECT 'x'::text AS f INTO r; ELSE SELECT 5 AS f INTO r; END IF;
                  x := r.f; IF a = 'both' THEN SELECT 'y'::text AS f INTO r; x := r.f || x; r := NULL; END IF; RETURN x; END$$,
                arguments => 'a text', returns => 'text')""")
    c.settle()
    equal(c.value(1, "SELECT dadbs.call_contract('changing', 'text')"), "x", "a text")
    c.settle()
    end_worker(c, 3, "apply")
    c.wait_ready()
    equal(c.value(2, "SELECT dadbs.call_contract('changing', 'number')"), "5", "a number")
    equal(c.value(3, "SELECT dadbs.call_contract('changing', 'text')"), "x", "a text again")
    equal(c.value(4, "SELECT dadbs.call_contract('changing', 'both')"), "y5", "both in one call")
    c.settle()
    told = [c.run(m, "SELECT verdict, result FROM dadbs.contract_history('changing') ORDER BY height, position") for m in c.members()]
    equal(told, [told[0]] * 4, "what each member recorded")


@suite.test
def compiled_before_a_definition(c):
    """What PL/pgSQL has compiled with the types of before counts on no member: verdicts do not depend on who has restarted since."""
    big = "5000000000"
    c.run(1, "CREATE TABLE typed (n int)", "INSERT INTO typed VALUES (1)", "CREATE DOMAIN sized AS int", "CREATE DOMAIN kept AS int",
          "CREATE FUNCTION measured(a numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'DECLARE x typed.n%TYPE; BEGIN x := a; RETURN x; END'")
    bodies = ("DECLARE x typed.n%TYPE; BEGIN x := a; RETURN x; END", "BEGIN RETURN measured(a::numeric); END", "DECLARE x sized; BEGIN x := a; RETURN x; END")
    for i, body in enumerate(bodies):
        c.run(1, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('compiled{i}', $${body}$$, arguments => 'a text', returns => 'text')")
    c.settle()
    call = "SET dadbs.commit_timeout = '60s'", "SELECT dadbs.call_contract('compiled{}', '{}')"

    def told(member, value):
        return [sqlstate(lambda: c.run(member, call[0], call[1].format(i, value))) for i in range(len(bodies))]

    equal([told(1, 7)[0], told(1, 7)[2]], [None, None], "before")
    c.run(1, "CREATE OR REPLACE FUNCTION measured(a numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'DECLARE x typed.n%TYPE; BEGIN x := a; RETURN x; END'")
    # Rolled back, after measured() has run with the type that n would have had.
    refused(c, "23514", "ALTER TABLE typed ALTER n TYPE bigint, ADD CHECK (measured(n) < 0)")
    c.settle()
    end_worker(c, 3, "apply")
    c.wait_ready()
    equal(told(2, big), ["22003"] * 3, "still an integer")
    c.run(1, "CREATE OR REPLACE FUNCTION measured(a numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'DECLARE x typed.n%TYPE; BEGIN x := a; RETURN x; END'",
          "ALTER TABLE typed ALTER n TYPE bigint", "DROP DOMAIN sized", "CREATE DOMAIN sized AS bigint")
    c.settle()
    end_worker(c, 4, "apply")
    c.wait_ready()
    equal(told(1, big), [None] * 3, "a bigint now")
    c.settle()
    end_worker(c, 2, "apply")
    c.wait_ready()
    widen = "ALTER TABLE typed ALTER n TYPE numeric USING 1e30, ADD CHECK (measured(n) > 0)"
    equal(sqlstate(lambda: c.run(3, "SET dadbs.commit_timeout = '60s'", widen)), None, "a definition that calls it")
    everywhere(c, "SELECT n = 1e30 FROM typed", [(True,)], "what the definition wrote")
    for i in range(len(bodies)):
        history = [c.run(m, f"SELECT verdict, sqlstate, result FROM dadbs.contract_history('compiled{i}') ORDER BY height, position") for m in c.members()]
        equal(history, [history[0]] * 4, f"what each member recorded of {bodies[i]}")


@suite.test
def errors_inside_of_functions(c):
    """What a function of values calls an internal error is a verdict, in definitions, proposals and calls: no client's statement stops the chain."""
    c.run(1, "CREATE TABLE inside (id int PRIMARY KEY, s text, n int8[])", "INSERT INTO inside VALUES (1, 'abc', '{1}')",
          "SELECT dadbs.deploy_contract('inside', 'BEGIN PERFORM int4_avg_accum(a, 1); END', arguments => 'a int8[]', returns => 'void')")
    c.settle()
    internal, check_of = "XX000", "ALTER TABLE inside ADD CHECK ({} IS NOT NULL)"
    expected = {
        "CREATE INDEX ON inside (to_tsvector(5::oid::regconfig, s))": internal,
        check_of.format("to_tsvector(5::oid::regconfig, s)"): internal,
        check_of.format("int4_avg_accum(n, 1)"): internal,
        check_of.format("xpath('(', '<a/>'::xml)"): internal,
        "ALTER TABLE inside ALTER s TYPE int8 USING (int4_avg_accum(n, 1))[1]": internal,
        "SELECT dadbs.call_contract('inside', '{1}')": internal,
        # 3748 is 'simple' everywhere; the next may be one that a member has for himself.
        check_of.format("to_tsvector(3748::oid::regconfig, s)"): FORBIDDEN_HERE,
        check_of.format("to_tsvector((ARRAY[3748]::oid[]::regconfig[])[1], s)"): FORBIDDEN_HERE,
        "CREATE INDEX ON inside (to_tsvector(3748::oid::regconfig, s))": FORBIDDEN_HERE,
        "CREATE INDEX ON inside (id) WHERE to_tsvector(3748::oid::regconfig, s) IS NOT NULL": FORBIDDEN_HERE,
        "ALTER TABLE inside ADD v tsvector GENERATED ALWAYS AS (to_tsvector(3748::oid::regconfig, s)) STORED": FORBIDDEN_HERE,
        "ALTER TABLE inside ALTER s TYPE text USING to_tsvector(3748::oid::regconfig, s)::text": FORBIDDEN_HERE,
        "CREATE INDEX ON inside (to_tsvector('simple'::regconfig, s))": None,
    }
    states = {text: sqlstate(lambda: c.run(1 + i % 4, "SET dadbs.commit_timeout = '60s'", text)) for i, text in enumerate(expected)}
    equal(states, expected, "what each was told")
    proposal = c.value(2, f"SELECT dadbs.propose($$CREATE TABLE undone (i int); {check_of.format('int4_avg_accum(n, 1)')}$$)")
    c.settle()
    everywhere(c, f"SELECT state, sqlstate FROM dadbs.proposals WHERE id = {proposal}", [("failed", internal)], "the proposal")
    c.run(3, "INSERT INTO inside VALUES (2, 'd', NULL)")
    everywhere(c, "SELECT id FROM inside ORDER BY id", [(1,), (2,)], "rows")


if __name__ == "__main__":
    suite.main()
