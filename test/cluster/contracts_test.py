"""Contracts on four members: what they decide and write is the same everywhere, whoever's session the rows came from.

Hazards by number are those of docs/testing.md. After each test the harness compares the members; here besides that what
contracts wrote (dadbs.contract_changes) and the registry.
"""
import os
import random
import threading
import time

import psycopg2

from clients import await_applied, end_worker, everywhere, refused
from harness import CONFLICT, ROOT, Suite, Workers, check, equal, error_of, eventually, sqlstate

# One member is enough to replace and drop contracts and their triggers here: contract_approval_test.py has the other case.
suite = Suite("contracts", port=8000, begin=lambda c: c.start(["--approvals", "1"]))
BUDGET = "54000"
FORBIDDEN_HERE = "0A000"
EFFECTS = "SELECT md5(coalesce(string_agg(e::text, chr(10) ORDER BY height, index, ordinal), '')) FROM dadbs_internal.contract_effect e"
REGISTRY = "SELECT md5(coalesce(string_agg(v::text, chr(10) ORDER BY name, version), '')) FROM dadbs_internal.contract_version v"


def deploy(c, name, body, member=1, settle=True):
    """Without the analysis: what the members refuse when it runs is what these tests are about."""
    version = c.run(member, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.deploy_contract('{name}', $body${body}$body$)")[0][0]
    if settle:  # a session of another member that has not seen it yet would lose, rightly
        c.settle()
    return version


def attach(c, name, table, events="INSERT OR UPDATE OR DELETE", more="", trigger=None, member=1):
    c.run(member, f"CREATE TRIGGER {trigger or name} AFTER {events} ON {table} FOR EACH ROW {more} EXECUTE FUNCTION dadbs.contract('{name}')")
    c.settle()


def alike(c):
    """Effects and registry, row by row as stored."""
    c.settle()
    for query in (EFFECTS, REGISTRY):
        values = {c.value(i, query) for i in c.members()}
        equal(len(values), 1, query)


@suite.test
def raises_and_writes(c):
    c.run(1, "CREATE TABLE invoice (id int PRIMARY KEY, amount numeric, note text)",
          "CREATE TABLE audit (n int PRIMARY KEY, op text, old_row jsonb, new_row jsonb, args text[], tab text, node text, who text)",
          "CREATE TABLE number (id int PRIMARY KEY, n int)", "INSERT INTO number VALUES (1, 0)")
    deploy(c, "invoice_rule", """
        BEGIN
          IF TG_OP <> 'DELETE' AND NEW.amount > 1000 AND dadbs.origin_node() <> 'm2' THEN
            RAISE EXCEPTION 'amount % needs m2', NEW.amount USING ERRCODE = 'check_violation', DETAIL = 'a detail', HINT = 'a hint';
          END IF;
          UPDATE number SET n = n + 1 WHERE id = 1;
          INSERT INTO audit SELECT n, TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END,
                                   TG_ARGV[0:], TG_TABLE_NAME, dadbs.origin_node(), dadbs.session_user_name() FROM number WHERE id = 1;
          RETURN NULL;
        END""")
    c.run(1, "CREATE TRIGGER rule AFTER INSERT OR UPDATE OR DELETE ON invoice FOR EACH ROW EXECUTE FUNCTION dadbs.contract('invoice_rule', 'x', '7')")
    c.settle()
    c.run(1, "INSERT INTO invoice VALUES (1, 10, 'a'), (2, 20, 'b')")
    c.settle()
    c.run(3, "UPDATE invoice SET amount = amount + 1 WHERE id = 1", "DELETE FROM invoice WHERE id = 2")
    for member in (1, 3, 4):
        c.settle()  # who still has another member's row 5 to refuse may lose against it
        e = error_of(lambda: c.run(member, "INSERT INTO invoice VALUES (5, 2000, 'c')"))
        equal((e.pgcode, e.diag.message_primary, e.diag.message_detail, e.diag.message_hint),
              ("23514", "amount 2000 needs m2", "a detail", "a hint"), f"the contract's error on member {member}")
    c.settle()
    c.run(2, "INSERT INTO invoice VALUES (5, 2000, 'c')")
    c.settle()
    everywhere(c, "SELECT n, op, (old_row->>'amount')::numeric, (new_row->>'amount')::numeric, args, tab, node, who FROM audit ORDER BY n",
               [(1, "INSERT", None, 10, ["x", "7"], "invoice", "m1", "postgres"), (2, "INSERT", None, 20, ["x", "7"], "invoice", "m1", "postgres"),
                (3, "UPDATE", 10, 11, ["x", "7"], "invoice", "m3", "postgres"), (4, "DELETE", 20, None, ["x", "7"], "invoice", "m3", "postgres"),
                (5, "INSERT", None, 2000, ["x", "7"], "invoice", "m2", "postgres")], "what the contract wrote")
    everywhere(c, "SELECT verdict, sqlstate, message, count(*) FROM dadbs.transactions WHERE sqlstate = '23514' GROUP BY 1, 2, 3",
               [("rejected", "23514", "amount 2000 needs m2", 3)], "verdicts")
    everywhere(c, "SELECT contract, relation, operation, count(*) FROM dadbs.contract_changes GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
               [("invoice_rule", "public.audit", "INSERT", 5), ("invoice_rule", "public.number", "UPDATE", 5)], "effects")
    alike(c)


@suite.test
def cascades_and_loops(c):
    c.run(1, *[f"CREATE TABLE step{i} (id int PRIMARY KEY, v int)" for i in range(1, 5)], "CREATE TABLE bare (id int PRIMARY KEY, v int)")
    deploy(c, "one", "BEGIN INSERT INTO step2 VALUES (NEW.id, NEW.v + 1); RETURN NULL; END")
    deploy(c, "two", "BEGIN INSERT INTO step3 VALUES (NEW.id, NEW.v + 1); UPDATE step3 SET v = v * 2 WHERE id = NEW.id; RETURN NULL; END")
    deploy(c, "three", "BEGIN IF TG_OP = 'UPDATE' THEN INSERT INTO bare VALUES (NEW.id, OLD.v * 100 + NEW.v); END IF; RETURN NULL; END")
    deploy(c, "itself", "BEGIN UPDATE step4 SET v = v + 1 WHERE id = NEW.id; RETURN NULL; END")
    attach(c, "one", "step1", "INSERT")
    attach(c, "two", "step2", "INSERT")
    attach(c, "three", "step3")
    attach(c, "itself", "step4", "INSERT OR UPDATE")
    c.run(2, "INSERT INTO step1 VALUES (1, 1), (2, 5)")
    c.settle()
    everywhere(c, "SELECT * FROM bare ORDER BY 1", [(1, 306), (2, 714)], "the end of the cascade")
    everywhere(c, "SELECT contract, relation, operation FROM dadbs.contract_changes WHERE relation ~ 'step|bare' ORDER BY height, position, ordinal",
               2 * [("one", "public.step2", "INSERT"), ("two", "public.step3", "INSERT"), ("two", "public.step3", "UPDATE"), ("three", "public.bare", "INSERT")],
               "effects in their order")
    for member in (1, 4):
        c.settle()
        equal(sqlstate(lambda: c.run(member, "INSERT INTO step4 VALUES (1, 1)")), BUDGET, "a contract that fires itself")
    for name, body in (("endless", "LOOP PERFORM 1; END LOOP;"), ("endless_sql", "WHILE true LOOP v := v + 1; END LOOP;")):
        deploy(c, name, f"DECLARE v bigint := 0; BEGIN IF NEW.id = 99 THEN {body} END IF; RETURN NULL; END")
        attach(c, name, "bare", "INSERT")
        equal(sqlstate(lambda: c.run(3, "INSERT INTO bare VALUES (99, 0)")), BUDGET, name)
        c.run(1, f"DROP TRIGGER {name} ON bare", f"SELECT dadbs.drop_contract('{name}')")
    everywhere(c, "SELECT count(*) FROM bare WHERE id = 99", [(0,)], "rows of endless contracts")
    alike(c)


@suite.test
def h02_nothing_of_the_session(c):
    """Snapshot, READ ONLY, SET CONSTRAINTS, temporary tables, role and settings of the session do not reach the contract."""
    c.run(1, "CREATE TABLE h2 (id int PRIMARY KEY, v text)", "CREATE TABLE h2_parent (id int PRIMARY KEY)",
          "CREATE TABLE h2_child (id int PRIMARY KEY, p int REFERENCES h2_parent DEFERRABLE INITIALLY DEFERRED)",
          "CREATE TABLE h2_out (id int PRIMARY KEY, v text)", "CREATE ROLE h2_user LOGIN", "GRANT ALL ON h2 TO h2_user", "INSERT INTO h2_parent VALUES (1)")
    deploy(c, "h2", """
        BEGIN
          INSERT INTO h2_out VALUES (NEW.id, (SELECT count(*) FROM h2_parent)::text || ' ' || (timestamptz '2024-01-01 00:00+00')::text || ' ' || (1.0::float8 / 3)::text
                                             || ' ' || current_setting_free());
          IF NEW.v = 'orphan' THEN INSERT INTO h2_child VALUES (NEW.id, 77); END IF;
          RETURN NULL;
        END""".replace(" || ' ' || current_setting_free()", "").replace("\n                                             ", ""))
    attach(c, "h2", "h2", "INSERT")
    c.settle()
    session = c.connect(2, autocommit=False)
    with session.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM h2_parent")
        c.run(1, "INSERT INTO h2_parent VALUES (2)")  # not in the session's snapshot
        await_applied(c, 2, "SELECT count(*) = 2 FROM h2_parent", "the second parent")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("INSERT INTO h2 VALUES (1, 'snapshot')")
    session.commit()
    with session.cursor() as cursor:
        cursor.execute("SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; SET extra_float_digits = -3; SET search_path = pg_temp, public")
        cursor.execute("CREATE TEMP TABLE h2_out (id int, v text)")
        session.commit()
        cursor.execute("INSERT INTO h2 VALUES (2, 'settings')")
        session.commit()
        cursor.execute("SELECT count(*) FROM pg_temp.h2_out")
        equal(cursor.fetchone()[0], 0, "rows in the temporary table")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("INSERT INTO h2 VALUES (3, 'orphan')")
        equal(sqlstate(session.commit), "23503", "an orphan that a contract makes")
    session.close()
    # Written with the rights of the contract's owner, not of the session's user.
    c.run(4, "INSERT INTO h2 VALUES (4, 'role')", user="h2_user")
    equal(sqlstate(lambda: c.run(4, "INSERT INTO h2_out VALUES (9, '')", user="h2_user")), "42501", "the user himself")
    c.settle()
    everywhere(c, "SELECT * FROM h2_out ORDER BY id", [(i, "2 2024-01-01 00:00:00+00 0.3333333333333333") for i in (1, 2, 4)], "what the contract saw")
    alike(c)


@suite.test
def keys_that_contracts_take(c):
    """Rows that contracts write with explicit ids: no member's sequence gives them again."""
    c.run(1, "CREATE TABLE taken (id serial PRIMARY KEY, v text UNIQUE)", "CREATE TABLE take (id int PRIMARY KEY)")
    deploy(c, "take", "BEGIN INSERT INTO taken VALUES (NEW.id, 'c' || NEW.id); RETURN NULL; END")
    attach(c, "take", "take", "INSERT")
    c.run(2, "INSERT INTO take SELECT generate_series(1, 12)")
    c.settle()
    for member in c.members():
        c.run(member, f"INSERT INTO taken (v) VALUES ('m{member}')")
    c.settle()
    everywhere(c, "SELECT count(*), count(*) FILTER (WHERE id > 12) FROM taken", [(16, 4)], "ids of contracts and of sequences")
    # An update by a contract frees a unique value, a delete a row: sessions elsewhere take them.
    deploy(c, "take", "BEGIN UPDATE taken SET v = v || '!' WHERE id = 1; DELETE FROM taken WHERE id = 2; RETURN NULL; END")
    c.run(3, "INSERT INTO take VALUES (20)")
    c.settle()
    c.run(4, "INSERT INTO taken VALUES (2, 'c1')")
    alike(c)


@suite.test
def h03_events_follow_the_write_set(c):
    """Order of rows and triggers; conditions; what a write set does not hold is refused."""
    c.run(1, "CREATE TABLE h3 (id int PRIMARY KEY, v int)", "CREATE TABLE h3_u (id int PRIMARY KEY)",
          "CREATE TABLE h3_log (n int PRIMARY KEY, what text)", "CREATE TABLE h3_n (id int PRIMARY KEY, n int)", "INSERT INTO h3_n VALUES (1, 0)",
          "CREATE FUNCTION h3_other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO h3_u VALUES (NEW.id); RETURN NULL; END'",
          "CREATE TRIGGER other AFTER INSERT ON h3 FOR EACH ROW EXECUTE FUNCTION h3_other()", "CREATE ROLE h3_user LOGIN",
          "GRANT ALL ON h3, h3_u TO h3_user")
    deploy(c, "h3_note", """
        BEGIN
          UPDATE h3_n SET n = n + 1 WHERE id = 1;
          INSERT INTO h3_log SELECT n, TG_TABLE_NAME || ' ' || TG_NAME || ' ' || TG_OP || ' ' || CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END FROM h3_n WHERE id = 1;
          RETURN NULL;
        END""")
    for name, table, events, more in (("b", "h3", "INSERT OR UPDATE OR DELETE", ""), ("a", "h3", "UPDATE", "WHEN (OLD.v IS DISTINCT FROM NEW.v)"),
                                      ("c", "h3_u", "INSERT", "")):
        attach(c, "h3_note", table, events, more, trigger=name)
    c.settle()
    c.run(3, "BEGIN", "INSERT INTO h3 VALUES (1, 1), (2, 2)", "SAVEPOINT s", "INSERT INTO h3 VALUES (3, 3)", "ROLLBACK TO s",
          "UPDATE h3 SET v = v WHERE id = 1", "UPDATE h3 SET v = 9 WHERE id = 2", "DELETE FROM h3 WHERE id = 1", "COMMIT", user="h3_user")
    c.settle()
    rows = [w for _, w in c.run(2, "SELECT * FROM h3_log ORDER BY n")]
    equal(rows, ["h3 b INSERT 1", "h3 b INSERT 2", "h3_u c INSERT 1", "h3_u c INSERT 2", "h3 b UPDATE 1", "h3 a UPDATE 2", "h3 b UPDATE 2", "h3 b DELETE 1"],
          "rows and triggers in order")
    everywhere(c, "SELECT what FROM h3_log ORDER BY n", [(r,) for r in rows], "the log")
    create = "CREATE TRIGGER bad {} EXECUTE FUNCTION dadbs.contract({})"
    for shape, arguments, state in (("AFTER UPDATE OF v ON h3 FOR EACH ROW", "'h3_note'", "0A000"), ("BEFORE INSERT ON h3 FOR EACH ROW", "'h3_note'", "0A000"),
                                    ("AFTER INSERT ON h3", "'h3_note'", "0A000"), ("AFTER TRUNCATE ON h3", "'h3_note'", "0A000"),
                                    ("AFTER INSERT ON h3 FOR EACH ROW WHEN (current_user = 'x')", "'h3_note'", "0A000"),
                                    ("AFTER INSERT ON h3 FOR EACH ROW", "", "0A000"), ("AFTER INSERT ON h3 FOR EACH ROW", "'nothing'", "42704")):
        refused(c, state, create.format(shape, arguments))
        refused(c, state, "BEGIN", create.format(shape, arguments), "COMMIT", member=4)
    refused(c, "0A000", "TRUNCATE h3")
    refused(c, "2BP01", "SELECT dadbs.drop_contract('h3_note')", member=2)
    alike(c)


@suite.test
def h15_h16_what_contracts_cannot_do(c):
    """Refused at the position, on all members alike, whatever let it through before."""
    c.run(1, "CREATE TABLE h15 (id serial PRIMARY KEY, body text)", "CREATE TABLE h15_ids (id serial PRIMARY KEY, v int)",
          "CREATE TABLE h15_rows (id int PRIMARY KEY, v int)", "CREATE VIEW h15_view AS SELECT current_user AS who, id FROM h15_rows",
          "CREATE TABLE h15_random (id int PRIMARY KEY, v float8 DEFAULT random())", "INSERT INTO h15_rows SELECT g, g FROM generate_series(1, 5) g",
          "CREATE TABLE h15_plain (id int PRIMARY KEY)", "CREATE TABLE h15_parent (id int PRIMARY KEY)",
          "CREATE TABLE h15_child (id int PRIMARY KEY REFERENCES h15_parent ON DELETE CASCADE)", "INSERT INTO h15_parent VALUES (1)",
          "CREATE FUNCTION h15_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
          "CREATE TRIGGER h15_trigger BEFORE INSERT ON h15_plain FOR EACH ROW EXECUTE FUNCTION h15_trigger()",
          "CREATE FUNCTION h15_stable() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'")
    bodies = ["x := random()", "x := clock_timestamp()", "x := gen_random_uuid()", "x := current_setting('TimeZone')", "x := pg_backend_pid()",
              "x := current_user", "x := session_user", "x := inet_server_addr()", "x := version()", "x := nextval('h15_id_seq')", "x := txid_current()",
              "x := pg_read_file('PG_VERSION')", "x := h15_stable()", "PERFORM pg_sleep(0)", "PERFORM pg_advisory_lock(1)", "PERFORM set_config('role', 'postgres', false)",
              "SELECT ctid INTO x FROM h15_rows WHERE id = 1", "SELECT xmin INTO x FROM h15_rows WHERE id = 1", "SELECT relname INTO x FROM pg_class LIMIT 1",
              "SELECT hash INTO x FROM dadbs_internal.block LIMIT 1", "SELECT height INTO x FROM dadbs.blocks LIMIT 1", "SELECT who INTO x FROM h15_view WHERE id = 1",
              "INSERT INTO h15_ids (v) VALUES (1)", "INSERT INTO h15_random (id) VALUES (1)", "INSERT INTO h15_plain VALUES (1)", "DELETE FROM h15_parent WHERE id = 1",
              "PERFORM 1 FROM h15_rows WHERE id = 1 FOR UPDATE SKIP LOCKED", "PERFORM 1 FROM h15_rows TABLESAMPLE system (50)",
              "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) INTO x FROM r", "PERFORM generate_series(1, 1000000000)",
              "EXECUTE 'SELECT 1' INTO x", "BEGIN x := 1 / 0; EXCEPTION WHEN OTHERS THEN x := 1; END", "LOOP END LOOP", "CREATE TEMP TABLE t (a int)",
              "CREATE TABLE public.made (a int)", "SET LOCAL ROLE postgres", "NOTIFY x", "TRUNCATE h15_rows", "LOCK TABLE h15_rows", "COPY h15_rows TO PROGRAM 'cat'",
              "WITH gone AS (DELETE FROM h15_rows RETURNING id) SELECT max(id) INTO x FROM gone", "UPDATE h15 SET body = body", "x := TG_RELID", "x := 'h15_rows'::regclass::oid",
              "x := oid FROM pg_class LIMIT 1", "DECLARE r regclass := 'h15_rows'; BEGIN x := r::oid; END"]
    allowed = ["x := now()", "x := current_timestamp", "x := current_date", "x := upper('a') || 1", "SELECT sum(v) INTO x FROM h15_rows",
               "FOR x IN SELECT v FROM h15_rows ORDER BY id LOOP y := y + x::int; END LOOP", "x := to_char(now(), 'YYYY') || md5('a')",
               "SELECT jsonb_agg(v ORDER BY id) INTO x FROM h15_rows", "UPDATE h15_rows SET v = v + 1", "x := dadbs.block_height()",
               "PERFORM 1 FROM h15_rows WHERE id = 1 FOR UPDATE", "x := (SELECT count(*) FROM h15_rows a, h15_rows b WHERE EXISTS (SELECT FROM h15_rows c WHERE c.v > a.v))"]
    c.run(1, "INSERT INTO h15 (id, body) VALUES (1, ''), (2, '')")
    for i, body in enumerate(bodies + allowed):
        member = 1 + i % 4
        deploy(c, "h15", f"DECLARE x text; y int := 0; BEGIN {body}; RETURN NULL; END", member=member)
        if i == 0:
            attach(c, "h15", "h15", "INSERT", member=member)
        if body == "UPDATE h15 SET body = body":
            attach(c, "h15", "h15", "UPDATE", trigger="h15_update", member=member)
        state = sqlstate(lambda: c.run(member, f"INSERT INTO h15 (id, body) VALUES ({10 + i}, '')"))
        if body in allowed:
            equal(state, None, body)
        else:
            check(state in ("0A000", "42501", "42P01"), f"{body}: {state}")
    c.settle()
    everywhere(c, "SELECT count(*) FROM h15", [(2 + len(allowed),)], "rows that passed")
    alike(c)


@suite.test
def h25_what_a_contract_raises_is_a_verdict(c):
    """Whatever SQLSTATE it claims; and a member's own failure is none."""
    c.run(1, "CREATE TABLE h25 (id int PRIMARY KEY, state text)")
    deploy(c, "h25", "BEGIN IF NEW.state <> '' THEN RAISE EXCEPTION 'as ordered' USING ERRCODE = NEW.state; END IF; RETURN NULL; END")
    attach(c, "h25", "h25", "INSERT")
    for state in ("53100", "53200", "57014", "57P01", "40001", "40P01", "XX000", "58030", "08006", "DA003", "54001"):
        e = error_of(lambda: c.run(2, f"INSERT INTO h25 VALUES (1, '{state}')"))
        equal((e.pgcode, e.diag.message_primary), (state, "as ordered"), state)
    # Cancelled while it runs: done again.
    deploy(c, "h25", "DECLARE n int := 0; BEGIN WHILE n < 300000 LOOP n := n + 1; END LOOP; RETURN NULL; END")
    work = Workers()
    work.start(lambda _: c.run(2, "INSERT INTO h25 VALUES (2, '')"))
    deadline = time.monotonic() + 0.7
    while time.monotonic() < deadline:
        c.run(3, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dadbs apply'")
        time.sleep(0.02)
    work.join()
    c.settle()
    everywhere(c, "SELECT id FROM h25", [(2,)], "rows")


@suite.test
def nothing_is_lost_between_contracts_and_sessions(c):
    """A contract and sessions on all members add to the same row: each that committed counts once (the keys of what contracts write)."""
    c.run(1, "CREATE TABLE entry (id text PRIMARY KEY)", "CREATE TABLE total (id int PRIMARY KEY, n int, u int UNIQUE)", "INSERT INTO total VALUES (1, 0, 5)")
    deploy(c, "count_up", "BEGIN UPDATE total SET n = n + 1 WHERE id = 1; RETURN NULL; END")
    attach(c, "count_up", "entry", "INSERT")
    c.settle()
    committed, lost = [0] * 4, [0] * 4

    def work(stop, member):
        dice = random.Random(member)
        connection = c.connect(member)
        with connection.cursor() as cursor:
            for i in range(40):
                try:
                    if dice.random() < 0.5:
                        cursor.execute(f"INSERT INTO entry VALUES ('{member}-{i}')")
                    else:
                        cursor.execute("UPDATE total SET n = n + 1 WHERE id = 1")
                    committed[member - 1] += 1
                except psycopg2.Error as e:
                    check(e.pgcode == CONFLICT, f"member {member}: {e.pgcode} {e}")
                    lost[member - 1] += 1
        connection.close()

    workers = Workers()
    for member in c.members():
        workers.start(work, member)
    workers.join()
    c.settle()
    everywhere(c, "SELECT n FROM total", [(sum(committed),)], f"increments, {sum(lost)} lost")
    alike(c)


@suite.test
def example_token(c):
    """Orders on all members that move money of one account: none is lost to another, none overdraws."""
    with open(os.path.join(ROOT, "examples", "contracts", "token", "token.sql")) as script:
        c.psql(1, "-v", "ON_ERROR_STOP=1", stdin=script.read())
    c.run(1, "INSERT INTO token_account VALUES ('mint', 100)")
    c.settle()
    outcomes = []

    def work(stop, member):
        connection = c.connect(member, "token_client")
        with connection.cursor() as cursor:
            for i in range(30):
                order = f"INSERT INTO token_order VALUES (md5('{member}-{i}')::uuid, 'mint', 'user{i % 3}', 1.00)"
                outcomes.append(sqlstate(lambda: cursor.execute(order)))
        connection.close()

    workers = Workers()
    for member in c.members():
        workers.start(work, member)
    workers.join()
    c.settle()
    equal((outcomes.count(None), outcomes.count("23514"), len(outcomes)), (100, 20, 120), "orders carried out and refused")
    everywhere(c, "SELECT sum(balance), min(balance), count(*) FROM token_account", [(100, 0, 4)], "the money")
    refused(c, "42501", "UPDATE token_account SET balance = 1000", member=3, user="token_client")
    refused(c, "23001", "DELETE FROM token_order WHERE payer = 'mint'", member=2)
    alike(c)


@suite.test
def killed_and_replayed(c):
    """Members are killed in the middle of contract transactions, new versions are deployed: the journal gives the same verdicts."""
    c.run(1, "CREATE TABLE k (id text PRIMARY KEY, v int)", "CREATE TABLE k_sum (m int PRIMARY KEY, n int, s int)",
          "INSERT INTO k_sum VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)")
    body = """BEGIN
        IF NEW.v % 7 = {} THEN RAISE EXCEPTION 'seven'; END IF;
        UPDATE k_sum SET n = n + 1, s = s + NEW.v WHERE m = right(dadbs.origin_node(), 1)::int;
        RETURN NULL; END"""
    deploy(c, "k", body.format(0))
    attach(c, "k", "k", "INSERT")
    c.settle()
    away = ("DA001", "DA002")    # two members are away at once, or this one has just come back
    writing = threading.Event()  # not while a member that was away catches up
    writing.set()

    def work(stop, member):
        i = 0
        while not stop.is_set():
            try:
                connection = c.connect(member)
                with connection.cursor() as cursor:
                    while not stop.is_set():
                        i += 1
                        writing.wait()
                        try:
                            cursor.execute(f"INSERT INTO k VALUES ('{member}-{i}', {i})")
                        except psycopg2.OperationalError:
                            raise
                        except psycopg2.Error as e:
                            check(e.pgcode in ("P0001", CONFLICT, *away), f"{e.pgcode}: {e}")
                            if e.pgcode in away:
                                time.sleep(0.1)
            except psycopg2.OperationalError:
                time.sleep(0.2)

    workers = Workers()
    for member in (1, 2, 3):
        workers.start(work, member)
    time.sleep(1)
    for turn in range(2):
        c.kill(2 + turn)
        time.sleep(0.5)
        writing.clear()
        c.start_member(2 + turn)
        c.wait_ready()
        writing.set()
        end_worker(c, 4, "apply")
        deploy(c, "k", body.format(turn + 1), settle=False)
        time.sleep(0.5)
    eventually(lambda: workers.errors or c.value(1, "SELECT count(*) > 20 FROM k"), 60, "rows")
    workers.join()
    c.wait_ready()
    c.settle()
    everywhere(c, "SELECT (SELECT count(*) FROM k) = (SELECT sum(n) FROM k_sum), (SELECT sum(v) FROM k) = (SELECT sum(s) FROM k_sum), "
                  "(SELECT count(*) FROM k) > 20", [(True, True, True)], "sums by contract and by rows")
    alike(c)


if __name__ == "__main__":
    suite.main()
