"""Contracts whose author means ill: what differs between members, what has rights that he has not.

The members differ as honest ones may: member 2 has tables and a role of its own, so its catalogs number what comes later otherwise.
"""
import time

import psycopg2

from clients import await_applied, everywhere, refused
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


if __name__ == "__main__":
    suite.main()
