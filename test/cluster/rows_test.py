"""Rows on four members: constraints that no key covers, foreign keys under concurrency, values and sequences of others.

Numbers in names are those of the hazards (docs/testing.md)."""
import os
import random
import threading

import psycopg2

import clients
from clients import race
from harness import CONFLICT, LONG, Suite, Workers, check, equal, eventually, sqlstate

suite = Suite("rows", port=7820)
REJECTED_OR_CONFLICT = {"23505", "23P01", "23503", CONFLICT}


def one_wins(results, what):
    clients.one_wins(results, what, REJECTED_OR_CONFLICT)


@suite.test
def unique_without_keys(c):
    """Partial, expression and exclusion constraints are settled where the row is applied."""
    c.run(1, "CREATE TABLE soft (id int PRIMARY KEY, a int, b text, during int4range, EXCLUDE USING gist (during WITH &&))",
          "CREATE UNIQUE INDEX soft_partial ON soft (a) WHERE b = 'x'", "CREATE UNIQUE INDEX soft_lower ON soft (lower(b))")
    one_wins(race(c, "INSERT INTO soft VALUES (1, 1, 'x')", "INSERT INTO soft VALUES (2, 1, 'x')"), "partial")
    one_wins(race(c, "INSERT INTO soft VALUES (3, 3, 'Y')", "INSERT INTO soft VALUES (4, 4, 'y')"), "expression")
    one_wins(race(c, "INSERT INTO soft VALUES (5, 5, 'p', '[1,5)')", "INSERT INTO soft VALUES (6, 6, 'q', '[4,8)')"), "exclusion")


@suite.test
def references_to_objects(c):
    """A regclass is an OID of one member."""
    state = sqlstate(lambda: c.run(1, "CREATE TABLE refers (id int PRIMARY KEY, r regclass)"))
    if state:
        return
    c.run(1, "INSERT INTO refers VALUES (1, 'pg_class')")
    check(sqlstate(lambda: c.run(1, "CREATE TEMP TABLE mine (i int)", "INSERT INTO refers VALUES (2, 'mine'::regclass)")), "a temporary table's OID")
    c.settle()
    equal({c.value(i, "SELECT r::text FROM refers") for i in c.members()}, {"pg_class"}, "regclass everywhere")


@suite.test
def keys_of_tables(c):
    c.run(1, "CREATE TABLE keyless (a int, b int)", "INSERT INTO keyless VALUES (1, 1), (2, 2)")
    c.settle()
    equal(sqlstate(lambda: c.run(2, "UPDATE keyless SET b = 3")), "55000", "UPDATE without a key")
    equal(sqlstate(lambda: c.run(2, "DELETE FROM keyless")), "55000", "DELETE without a key")
    c.settle()
    c.run(3, "ALTER TABLE keyless ALTER a SET NOT NULL", "CREATE UNIQUE INDEX keyless_a ON keyless (a)")
    c.settle()
    c.run(2, "UPDATE keyless SET b = 3 WHERE a = 1", "UPDATE keyless SET a = 5 WHERE a = 2", "DELETE FROM keyless WHERE a = 5")
    c.settle()
    equal({c.run(i, "SELECT a, b FROM keyless")[0] for i in c.members()}, {(1, 3)}, "rows by their unique index")


@suite.test
def partitions(c):
    c.run(1, "CREATE TABLE years (y int, id int, v int, PRIMARY KEY (y, id)) PARTITION BY RANGE (y)",
          "CREATE TABLE years_1 PARTITION OF years FOR VALUES FROM (0) TO (2000)",
          "CREATE TABLE years_2 PARTITION OF years FOR VALUES FROM (2000) TO (4000)",
          "CREATE TABLE of_years (id int PRIMARY KEY, y int, x int, FOREIGN KEY (y, x) REFERENCES years)",
          "INSERT INTO years SELECT 1990 + i, i, 0 FROM generate_series(1, 20) i", "INSERT INTO of_years VALUES (1, 1991, 1)")
    c.settle()
    c.run(2, "UPDATE years SET y = y + 100 WHERE id > 10", "UPDATE years SET y = 3000 WHERE id = 5")
    equal(sqlstate(lambda: c.run(3, "UPDATE years SET y = 3001 WHERE id = 1")), "23503", "a referenced row leaves its key")
    c.settle()
    one_wins(race(c, "INSERT INTO of_years VALUES (2, 1992, 2)", "DELETE FROM years WHERE id = 2"), "child and partitioned parent")
    one_wins(race(c, "INSERT INTO of_years VALUES (3, 1993, 3)", "UPDATE years SET y = 2500 WHERE id = 3"), "child and a parent that moves")


@suite.test
def keys_out_of_line(c):
    """Key columns so long that they are stored out of line: WAL marks them unchanged and gives the old key."""
    c.run(1, "CREATE TABLE long_parent (k text PRIMARY KEY, v int, u text UNIQUE)", "CREATE TABLE long_child (id int PRIMARY KEY, k text REFERENCES long_parent, v int)",
          "ALTER TABLE long_parent ALTER k SET STORAGE EXTERNAL, ALTER u SET STORAGE EXTERNAL", "ALTER TABLE long_child ALTER k SET STORAGE EXTERNAL",
          "INSERT INTO long_parent SELECT repeat(chr(96 + i), 2600), 0, repeat(chr(64 + i), 2600) FROM generate_series(1, 5) i",
          "INSERT INTO long_child SELECT i, repeat(chr(96 + i), 2600), 0 FROM generate_series(1, 3) i")
    c.settle()
    c.run(2, "UPDATE long_parent SET v = v + 1", "UPDATE long_child SET v = v + 1", "UPDATE long_parent SET k = k || 'x' WHERE k ^@ 'e'")
    c.settle()
    c.run(3, "UPDATE long_parent SET v = v + 1", "DELETE FROM long_child WHERE id = 3", "DELETE FROM long_parent WHERE k ^@ 'c'")
    equal(sqlstate(lambda: c.run(4, "DELETE FROM long_parent WHERE k ^@ 'a'")), "23503", "a parent with a child")
    one_wins(race(c, "UPDATE long_parent SET v = 9 WHERE k ^@ 'd'", "DELETE FROM long_parent WHERE k ^@ 'd'"), "update and delete by a long key")
    one_wins(race(c, "INSERT INTO long_child SELECT 9, k, 0 FROM long_parent WHERE k ^@ 'e'", "DELETE FROM long_parent WHERE k ^@ 'e'"), "long reference")


@suite.test
def sequences_follow_rows(c):
    c.run(1, "CREATE TABLE numbered (id serial PRIMARY KEY, note text)")
    c.settle()
    c.run(1, "INSERT INTO numbered SELECT i, 'explicit' FROM generate_series(1, 40) i")
    c.settle()
    ids = [c.value(i, f"INSERT INTO numbered (note) VALUES ('from {i}') RETURNING id") for i in c.members() if i > 1]
    check(min(ids) > 40 and len(set(ids)) == 3, f"ids after explicit ones: {ids}")
    c.settle()
    c.run(2, "TRUNCATE numbered RESTART IDENTITY")
    c.settle()
    ids = [c.value(i, "INSERT INTO numbered (note) VALUES ('x') RETURNING id") for i in c.members()]
    check(len(set(ids)) == 4 and max(ids) < 100, f"ids after RESTART IDENTITY: {ids}")


@suite.test
def sequences_under_load(c):
    """Values of all members at once never collide, also while setval and explicit ids pass by."""
    c.run(1, "CREATE TABLE busy (id serial PRIMARY KEY, member int)", "CREATE TABLE passing (id int PRIMARY KEY)",
          "ALTER TABLE passing ALTER id SET DEFAULT nextval('busy_id_seq')")

    def client(stop, member):
        connection = c.connect(member)
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO busy (member) SELECT %s FROM generate_series(1, 3)", (member,))

    def passer(stop):
        connection = c.connect(1)
        top = 0
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT max(id) FROM busy")
                top = max(top + 300, cursor.fetchone()[0] or 0)  # never back: others have drawn what is not committed yet
                cursor.execute("INSERT INTO passing SELECT i FROM generate_series(%s, %s) i ON CONFLICT DO NOTHING", (top + 1, top + 9))
                cursor.execute("SELECT setval('busy_id_seq', %s)", (top + 300,))
    workers = Workers()
    for member in c.members():
        workers.start(client, member)
        workers.start(client, member)
    workers.start(passer)
    threading.Event().wait(5)
    workers.join()
    c.settle()
    check(c.value(2, "SELECT count(*) FROM busy") > 100, "hardly any rows")


MIX = """
CREATE TABLE region (id int PRIMARY KEY, name text UNIQUE);
CREATE TABLE customer (id bigint PRIMARY KEY, region_id smallint REFERENCES region ON DELETE CASCADE ON UPDATE CASCADE, email text,
    score numeric(10,2) CHECK (score >= 0), up bigint REFERENCES customer ON DELETE SET NULL);
CREATE UNIQUE INDEX ON customer (lower(email)) WHERE score > 0;
CREATE TABLE orders (id int, day date, customer_id bigint REFERENCES customer ON DELETE CASCADE, total int,
    twice int GENERATED ALWAYS AS (total * 2) STORED, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
CREATE TABLE lines (order_id int, day date, n int, slot int UNIQUE DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (order_id, day) REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (order_id, day, n));
INSERT INTO region SELECT i, 'r' || i FROM generate_series(100, 125) i;
INSERT INTO customer SELECT i, i % 26 + 100, 'C' || i || '@x', i % 7, nullif(i / 2, 0) FROM generate_series(1, 200) i;
INSERT INTO orders SELECT i, date '2019-01-01' + i, i % 200 + 1, i FROM generate_series(1, 220) i;
INSERT INTO lines SELECT id, day, n, id * 10 + n FROM orders, generate_series(1, 3) n;
"""
STATEMENTS = [
    "INSERT INTO region VALUES ({b}, 'r' || {a})", "DELETE FROM region WHERE id = {b}", "UPDATE region SET id = {b} WHERE id = {b} + 1",
    "INSERT INTO customer VALUES ({a}, {b}, 'c' || {b} || '@x', {a} % 5 - 1, nullif({a} / 3, 0)) ON CONFLICT (id) DO UPDATE SET score = 9",
    "UPDATE customer SET id = {a} + 1 WHERE id = {a}", "UPDATE customer SET email = 'e' || {b}, region_id = {b} WHERE id BETWEEN {a} AND {a} + 3",
    "DELETE FROM customer WHERE id = {a}", "INSERT INTO orders VALUES ({a}, date '2019-06-01' + {b} * 3, {a}, {b})",
    "UPDATE orders SET day = day + ({b} - 110) * 9 WHERE id = {a}",
    "INSERT INTO lines SELECT id, day, 10 + {a} % 3, {s} FROM orders WHERE id = {a}",
    "UPDATE lines SET n = n + 1, slot = slot + {b} WHERE order_id = {a}", "DELETE FROM orders WHERE id BETWEEN {a} AND {a} + 2",
    "UPDATE customer SET score = score + 1 WHERE id = {a}", "UPDATE orders SET total = total + 1 WHERE id = {a}",
]
RARE_STATEMENTS = ["TRUNCATE lines", "DELETE FROM customer WHERE id % 2 = {a} % 2", "SET CONSTRAINTS ALL IMMEDIATE",
                   "ALTER TABLE region ADD COLUMN IF NOT EXISTS note{a} int", "ALTER TABLE customer ALTER email SET DEFAULT 'x{a}'",
                   "CREATE INDEX IF NOT EXISTS orders_total ON orders (total)", "DROP INDEX IF EXISTS orders_total"]
SESSIONS = [[], ["SET timezone = 'Asia/Kathmandu'", "SET datestyle = 'SQL, DMY'"], ["SET default_transaction_isolation = 'repeatable read'"],
            ["SET search_path = public, pg_temp", "CREATE TEMP TABLE scratch (i int)"], ["SET ROLE dadbs_owner"], ["SET plan_cache_mode = force_generic_plan"]]
EXPECTED = ("23", "40001", "40P01", "55006")  # 55006: ALTER TABLE with deferred checks pending


def random_statement(cursor, rng):
    statement = rng.choice(RARE_STATEMENTS if rng.random() < 0.01 else STATEMENTS)
    cursor.execute(statement.format(a=rng.randint(1, 220), b=rng.randint(100, 126), s=rng.randint(10**5, 10**9)))


@suite.test
def children_that_triggers_keep(c):
    """PostgreSQL believes that the action of a foreign key was done, also where a trigger of the child has kept it from that. No member takes such an orphan."""
    c.run(1, "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
          "CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.p := OLD.p; RETURN NEW; END'",
          "CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v + 1; RETURN NEW; END'",
          "CREATE FUNCTION odd_stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id % 2 = 1 THEN RETURN NULL; END IF; RETURN OLD; END'")
    cases = [("CASCADE", "BEFORE DELETE", "nothing", "DELETE FROM p", "23503"), ("SET NULL", "BEFORE UPDATE", "stays", "DELETE FROM p", "23503"),
             ("SET DEFAULT", "BEFORE UPDATE", "nothing", "DELETE FROM p", "23503"), ("CASCADE", "BEFORE UPDATE", "nothing", "UPDATE p SET id = id + 100", "23503"),
             ("CASCADE", "BEFORE UPDATE", "nothing", "UPDATE p SET u = u + 100", "23503"), ("CASCADE", "BEFORE DELETE", "odd_stay", "DELETE FROM p", "23503"),
             ("SET NULL", "BEFORE UPDATE", "harmless", "DELETE FROM p", None), ("CASCADE", "BEFORE UPDATE", "harmless", "UPDATE p SET id = id + 100", None),
             ("CASCADE", "BEFORE DELETE", "nothing", "UPDATE p SET w = w + 1", None), ("CASCADE", "AFTER DELETE", "nothing", "DELETE FROM p", None)]
    for partitioned in (False, True):
        for action, when, function, statement, expected in cases:
            key = "u" if "SET u" in statement else "id"
            c.run(1, "CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE, w int DEFAULT 0)",
                  f"CREATE TABLE k (id int PRIMARY KEY, p int DEFAULT 1 REFERENCES p ({key}) ON DELETE {action} ON UPDATE {action}, v int DEFAULT 0)" + (" PARTITION BY RANGE (id)" if partitioned else ""))
            if partitioned:
                c.run(2, "CREATE TABLE k1 PARTITION OF k FOR VALUES FROM (0) TO (10)", "CREATE TABLE k2 PARTITION OF k FOR VALUES FROM (10) TO (20)")
            c.settle()
            c.run(2, "INSERT INTO p SELECT g, g FROM generate_series(1, 3) g", "INSERT INTO k SELECT g, 2 FROM generate_series(1, 12) g")  # its plan is made before there is a trigger
            c.settle()
            c.run(3, f"CREATE TRIGGER keeps {when} ON {'k2' if partitioned else 'k'} FOR EACH ROW EXECUTE FUNCTION {function}()")
            c.settle()
            equal(sqlstate(lambda: c.run(1, "SET ROLE dadbs_owner", statement + " WHERE id = 2")), expected, f"{action}, {when} {function}, partitioned: {partitioned}, {statement}")
            c.settle()
            for i in c.members():
                equal(c.value(i, f"SELECT count(*) FROM k WHERE p IS NOT NULL AND NOT EXISTS (SELECT FROM p WHERE p.{key} = k.p)"), 0, f"orphans on member {i}")
            c.check_equal()
            c.run(2, "DROP TABLE k, p")
    # A parent that moves to another partition is deleted from one, and its children are treated as those of an update.
    for action, expected in (("ON UPDATE CASCADE", "23503"), ("ON DELETE CASCADE", "23503"), ("ON UPDATE SET NULL", "23503")):
        c.run(1, "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
              f"CREATE TABLE k (id int PRIMARY KEY, p int REFERENCES p {action}) PARTITION BY RANGE (id)", "CREATE TABLE k2 (id int PRIMARY KEY, p int)",
              "CREATE TRIGGER keeps BEFORE UPDATE ON k2 FOR EACH ROW EXECUTE FUNCTION stays()", "INSERT INTO p VALUES (1), (2), (3)", "INSERT INTO k2 VALUES (1, 2)")
        c.settle()
        c.run(2, "DELETE FROM p WHERE id = 3", "UPDATE p SET id = 14 WHERE id = 1", "ALTER TABLE k ATTACH PARTITION k2 FOR VALUES FROM (0) TO (10)")  # with its trigger
        c.settle()
        equal(sqlstate(lambda: c.run(1, "SET ROLE dadbs_owner", "UPDATE p SET id = 12 WHERE id = 2")), expected, action)
        c.settle()
        for i in c.members():
            equal(c.run(i, "SELECT array_agg(id ORDER BY id), (SELECT min(p) FROM k) FROM p"), [([2, 14], 2)], f"{action}, member {i}")
        c.check_equal()
        c.run(2, "DROP TABLE k, p")
    c.run(1, "DROP FUNCTION nothing(), stays(), harmless(), odd_stay()")


@suite.test
def immutable_functions_that_ask_settings(c):
    """What PostgreSQL declares immutable and is not in truth: the session's own check is not everybody's."""
    c.run(1, "CREATE TABLE quoted (id int PRIMARY KEY, x text CHECK (quote_ident(x) <> x))", "CREATE TABLE zoned (id int PRIMARY KEY, ts timestamp CHECK (ts AT TIME ZONE 'EST' < '2020-01-01 00:00+00'))",
          "CREATE TABLE zoned_too (id int PRIMARY KEY, ts timestamptz CHECK (ts AT TIME ZONE 'EST' > '2020-01-01 00:00'))", "CREATE TABLE once (id int PRIMARY KEY, x text)",
          "CREATE UNIQUE INDEX ON once ((quote_ident(x) = x))", "INSERT INTO once VALUES (1, 'abc')",
          "CREATE TABLE aged (id int PRIMARY KEY, a timestamptz, b timestamptz, CHECK (age(a, b) < interval '1 mon'))")
    c.settle()
    for setting, insert, expected in (("quote_all_identifiers = on", "quoted VALUES (1, 'abc')", "23514"), ("timezone_abbreviations = 'Australia'", "zoned VALUES (1, '2020-01-01 05:00')", "23514"),
                                      ("timezone_abbreviations = 'Australia'", "zoned_too VALUES (1, '2020-01-01 04:00+00')", "23514"),
                                      ("quote_all_identifiers = on", "once VALUES (2, 'def')", "23505"),
                                      ("TimeZone = 'America/New_York'", "aged VALUES (1, '2020-03-01 00:00+00', '2020-02-01 00:00+00')", "23514")):
        for i in c.members():
            equal(sqlstate(lambda: c.run(i, f"SET {setting}", f"INSERT INTO {insert}")), expected, f"{setting}, {insert}, member {i}")
    c.run(2, "ALTER SYSTEM SET timezone_abbreviations = 'Australia'", "ALTER SYSTEM SET quote_all_identifiers = on", "SELECT pg_reload_conf()")
    try:
        eventually(lambda: c.value(2, "SHOW timezone_abbreviations") == "Australia", 20, "the setting")
        equal(sqlstate(lambda: c.run(1, "INSERT INTO zoned VALUES (2, '2020-01-01 05:00')")), "23514", "with another setting of another member")
        c.run(1, "INSERT INTO zoned VALUES (3, '2019-12-31 18:00')", "CREATE TABLE dated (id int PRIMARY KEY, at timestamptz DEFAULT '2020-01-01 00:00 EST')", "INSERT INTO dated VALUES (1)")
        c.run(2, "INSERT INTO zoned VALUES (4, '2019-12-31 18:00')", "INSERT INTO dated VALUES (2)")
        c.settle()
        equal({str(c.run(i, "SET TimeZone = 'UTC'", "SELECT * FROM dated ORDER BY id")) for i in c.members()}, {str(c.run(1, "SET TimeZone = 'UTC'", "SELECT * FROM dated ORDER BY id"))}, "the default")
    finally:
        c.run(2, "ALTER SYSTEM RESET timezone_abbreviations", "ALTER SYSTEM RESET quote_all_identifiers", "SELECT pg_reload_conf()")
    c.run(1, "DROP TABLE quoted, zoned, zoned_too, once, dated, aged")


@suite.test
def everything_at_once(c):
    """Random transactions of related tables on all members; losers and violations are told, all stay equal."""
    for statement in MIX.strip().split(";\n"):
        c.run(1, statement.rstrip(";"))
    c.settle()
    outcomes = {}

    def client(stop, member, seed):
        rng = random.Random(seed)
        settings = rng.choice(SESSIONS)

        def begin():
            connection = c.connect(member, autocommit=False)
            with connection.cursor() as cursor:
                for setting in settings:
                    cursor.execute(setting)
            connection.commit()
            return connection
        connection = begin()
        while not stop.is_set():
            try:
                with connection.cursor() as cursor:
                    for _ in range(rng.randint(1, 3)):
                        random_statement(cursor, rng)
                    if rng.random() < 0.2:
                        cursor.execute("SAVEPOINT s")
                        random_statement(cursor, rng)
                        cursor.execute("ROLLBACK TO s")
                connection.commit()
                code = None
            except psycopg2.Error as e:
                code = CONFLICT if c.lost_its_way(connection) else e.pgcode
                check(code is not None and code.startswith(EXPECTED), f"unexpected on member {member}: {code} {e}")
                connection = c.rolled_back(connection) or begin()
            outcomes[code] = outcomes.get(code, 0) + 1
        connection.close()

    workers = Workers()
    for member in c.members():
        for k in range(2):
            workers.start(client, member, int(os.environ.get("DADBS_SEED", "0")) + 100 * member + k)
    threading.Event().wait(60 if LONG else 12)
    workers.join()
    print(f"# outcomes {outcomes}", flush=True)
    check(outcomes.get(None, 0) > 100, f"hardly anything was committed: {outcomes}")
    c.settle(60)
    orphans = """SELECT (SELECT count(*) FROM customer c LEFT JOIN region r ON r.id = c.region_id WHERE c.region_id IS NOT NULL AND r.id IS NULL)
        + (SELECT count(*) FROM orders o LEFT JOIN customer c ON c.id = o.customer_id WHERE c.id IS NULL)
        + (SELECT count(*) FROM lines l LEFT JOIN orders o ON o.id = l.order_id AND o.day = l.day WHERE o.id IS NULL)"""
    for i in c.members():
        equal(c.value(i, orphans), 0, f"orphans on member {i}")
        equal(c.run(i, "SELECT slot FROM lines GROUP BY 1 HAVING count(*) > 1"), [], f"duplicates on member {i}")


TRIGGERS = """
CREATE TABLE item (id int PRIMARY KEY, stock int NOT NULL CHECK (stock >= 0), touched int DEFAULT 0, label text UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE movement (id serial PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE DEFERRABLE, amount int, at timestamptz DEFAULT now());
CREATE TABLE daily (day date, item int, total int, PRIMARY KEY (day, item));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END';
CREATE FUNCTION book() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE item SET stock = stock + NEW.amount WHERE id = NEW.item; INSERT INTO daily VALUES (''2020-01-01''::date + NEW.item % 7, NEW.item, NEW.amount) ON CONFLICT (day, item) DO UPDATE SET total = daily.total + NEW.amount; RETURN NULL; END';
CREATE TRIGGER touch BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER book AFTER INSERT ON movement FOR EACH ROW EXECUTE FUNCTION book();
INSERT INTO item SELECT i, 100, 0, 'item ' || i FROM generate_series(1, 40) i;
"""
TRIGGER_STATEMENTS = [
    "INSERT INTO movement (item, amount) VALUES ({a}, {d})", "INSERT INTO movement (item, amount) SELECT id, {d} FROM item WHERE id BETWEEN {a} AND {a} + 2",
    "UPDATE item SET stock = stock + 1 WHERE id = {a}", "UPDATE item SET label = (SELECT label FROM item WHERE id = {b}) WHERE id = {a}",
    "UPDATE item i SET label = o.label FROM item o WHERE (i.id, o.id) IN (({a}, {b}), ({b}, {a}))", "DELETE FROM item WHERE id = {a}",
    "INSERT INTO item VALUES ({a}, 50, 0, 'new ' || {b}) ON CONFLICT (id) DO NOTHING", "DELETE FROM movement WHERE item = {a}",
    "UPDATE item SET id = {b} WHERE id = {a}", "SET CONSTRAINTS ALL DEFERRED",
]


@suite.test
def triggers_and_settings(c):
    """Ordinary triggers fire where the statement runs, once; replica sessions and disabled triggers stay alike everywhere."""
    for statement in TRIGGERS.strip().split(";\nCREATE"):
        for part in (("" if statement.startswith("CREATE") else "CREATE") + statement).split(";\nINSERT"):
            part = part if part.startswith("CREATE") else "INSERT" + part
            c.run(1, part)
    c.settle()
    outcomes = {}

    def client(stop, member, k):
        rng = random.Random(int(os.environ.get("DADBS_SEED", "0")) + 10 * member + k)

        def begin():
            connection = c.connect(member, autocommit=False)
            with connection.cursor() as cursor:
                cursor.execute("SET dadbs.run_shared_code = on")
                if k == 1:
                    cursor.execute("SET session_replication_role = replica")
            connection.commit()
            return connection
        connection = begin()
        while not stop.is_set():
            try:
                with connection.cursor() as cursor:
                    for _ in range(rng.randint(1, 3)):
                        if rng.random() < 0.01:
                            cursor.execute(f"ALTER TABLE item {rng.choice(['ENABLE', 'DISABLE'])} TRIGGER touch")
                        cursor.execute(rng.choice(TRIGGER_STATEMENTS).format(a=rng.randint(1, 45), b=rng.randint(1, 45), d=rng.randint(-30, 30)))
                connection.commit()
                code = None
            except psycopg2.Error as e:
                code = CONFLICT if c.lost_its_way(connection) else e.pgcode
                check(code is not None and code.startswith(EXPECTED), f"unexpected on member {member}: {code} {e}")
                connection = c.rolled_back(connection) or begin()
            outcomes[code] = outcomes.get(code, 0) + 1
        connection.close()

    workers = Workers()
    for member in c.members():
        for k in range(2):
            workers.start(client, member, k)
    threading.Event().wait(60 if LONG else 10)
    workers.join()
    print(f"# outcomes {outcomes}", flush=True)
    check(outcomes.get(None, 0) > 100, f"hardly anything was committed: {outcomes}")


suite.main()
