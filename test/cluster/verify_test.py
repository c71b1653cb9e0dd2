"""dadbs.verify_tables: rows against the chain. No false alarm, whatever the group does; each row that was changed past it is named."""
import os
import random
import time

import psycopg2

from harness import LONG, Suite, Workers, check, equal, error_of, eventually, sqlstate
from random_schema import make_schema
from tamper import behind

suite = Suite("verify", port=9640)
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))

# Each of these says more than the write sets do.
DEFINITIONS = [
    "CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN short AS varchar(20)",
    "CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric, d short)",
    "CREATE TABLE keyless (a int, b text)",
    "CREATE TABLE typed (m mood PRIMARY KEY, p pair, l int[], j jsonb, f float8, t timestamptz, moods mood[])",
    "CREATE TABLE numbers (k numeric PRIMARY KEY, big text)",
    "CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (100)",
    "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100) TO (MAXVALUE)",
    "CREATE TABLE parent (id int PRIMARY KEY)",
    "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE counted (id bigserial PRIMARY KEY, twice bigint GENERATED ALWAYS AS (id * 2) STORED, v text)",
    "ALTER TABLE numbers ALTER big SET STORAGE EXTERNAL",
]
ROWS = [
    "INSERT INTO plain SELECT g, 'v' || g, g / 7.0, 'd' FROM generate_series(1, 500) g",
    "INSERT INTO keyless SELECT g % 5, 'same' FROM generate_series(1, 40) g",
    "INSERT INTO typed VALUES ('sad', '(1,x)', '{1,2}', '{\"a\": 1}', 0.1, '2020-01-01 12:00+02', '{sad}'), ('glad', NULL, NULL, NULL, 'NaN', NULL, NULL)",
    "INSERT INTO numbers VALUES (1.0, repeat('x', 9000)), (2, repeat('y', 9000)), (3.50, NULL)",
    "INSERT INTO parts SELECT g, 'p' FROM generate_series(50, 150) g",
    "INSERT INTO parent SELECT g FROM generate_series(1, 50) g",
    "INSERT INTO child SELECT g, g FROM generate_series(1, 50) g",
    "INSERT INTO counted (v) SELECT 'c' FROM generate_series(1, 20)",
    "UPDATE plain SET v = 'changed' WHERE id % 3 = 0",
    "UPDATE numbers SET k = k + 10 WHERE k = 1",       # the big value stays, and is not in the change
    "UPDATE numbers SET k = 2.00 WHERE k = 2",         # another form of the same key
    "UPDATE parts SET id = id + 200 WHERE id BETWEEN 60 AND 70",
    "DELETE FROM parent WHERE id < 10",
    "UPDATE parent SET id = id + 1000 WHERE id > 40",
    "DELETE FROM plain WHERE id % 11 = 0",
]
PROBLEMS = "SELECT table_name, problem, key::text, expected::text, found::text, height, transaction_id FROM dadbs.verify_tables({}) ORDER BY 1, 3"


def problems(c, member, table=None):
    return c.run(member, PROBLEMS.format(f"'{table}'" if table else ""))


def all_sound(c):
    c.settle()
    for i in c.members():
        equal(problems(c, i), [], f"verify_tables() on member {i}")


def notices(c, member):
    connection = c.connect(member)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM dadbs.verify_tables()")
            return cursor.fetchall(), "".join(connection.notices)
    finally:
        connection.close()


@suite.test
def rows_of_all_kinds(c):
    c.run(1, *DEFINITIONS)
    c.run(2, *ROWS)
    all_sound(c)
    equal(notices(c, 3), ([], ""), "nothing is left out")


@suite.test
def definitions_that_change_rows(c):
    """What they compute is repeated, not believed."""
    c.run(1, "CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 2; END'")
    for member, statement in enumerate((
            "ALTER TABLE plain ADD COLUMN added int DEFAULT 7, ADD COLUMN made timestamptz DEFAULT now(), ADD COLUMN none text",
            "ALTER TABLE plain ALTER n TYPE text USING n::text, DROP COLUMN d",
            "ALTER TABLE plain ALTER added TYPE int USING twice(added)",
            "ALTER TABLE plain ADD COLUMN sum int GENERATED ALWAYS AS (id + added) STORED",
            "ALTER TABLE plain RENAME COLUMN v TO words",
            "ALTER TABLE plain RENAME TO simple",
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
            "ALTER TABLE parts ADD COLUMN more int DEFAULT 3",
            "ALTER TABLE parts ALTER more TYPE int USING more + id",
            "ALTER TABLE child ADD COLUMN x int NOT NULL DEFAULT 1, ADD CONSTRAINT positive CHECK (x > 0)",
            "CREATE TABLE plain (id int PRIMARY KEY)",
            "ALTER TABLE keyless ADD COLUMN id int",
            "TRUNCATE parts_low",
            "DROP TABLE counted",
            "CREATE TABLE counted (id bigserial PRIMARY KEY, v text)",
            "CREATE TABLE swapped (a int NOT NULL UNIQUE, b int PRIMARY KEY, v text)",
            "INSERT INTO swapped SELECT g, -g, 'v' FROM generate_series(1, 30) g",
            "ALTER TABLE swapped DROP CONSTRAINT swapped_pkey",
            "UPDATE swapped SET v = 'w', b = 7 WHERE a > 20",
            "CREATE SCHEMA other AUTHORIZATION dadbs_owner",
            "ALTER TABLE swapped SET SCHEMA other")):
        c.run(1 + member % 4, statement)
        c.settle()
    c.run(3, "INSERT INTO simple (id, words) VALUES (1001, 'late')", "UPDATE simple SET words = 'later' WHERE id = 5", "INSERT INTO typed (m) VALUES ('fine')",
          "INSERT INTO parts (id) VALUES (7), (777)", "UPDATE typed SET f = 1 WHERE m = 'blue'", "INSERT INTO plain VALUES (1)", "INSERT INTO counted (v) VALUES ('x')")
    c.settle()
    connection = c.connect(2, autocommit=False)
    with connection.cursor() as cursor:  # defined and written in one transaction
        cursor.execute("CREATE TABLE mixed (id int PRIMARY KEY)")
        cursor.execute("INSERT INTO mixed VALUES (1), (2)")
        cursor.execute("ALTER TABLE child ADD COLUMN y int DEFAULT 2")
        cursor.execute("UPDATE child SET y = 3 WHERE id = 20")
    connection.commit()
    connection.close()
    all_sound(c)
    found, said = notices(c, 4)
    # A label inside of an array is not looked for: that one table is compared from there on, and says so.
    equal((found, said.count("NOTICE"), "public.typed" in said), ([], 1, True), said)


@suite.test
def contracts_and_calls(c):
    c.run(1, "CREATE TABLE asked (id int PRIMARY KEY, v text)", "CREATE TABLE log (id int PRIMARY KEY, v text)",
          "SELECT dadbs.deploy_contract('logged', $$BEGIN INSERT INTO log VALUES (NEW.id, NEW.v); RETURN NULL; END$$)",
          "CREATE TRIGGER logged AFTER INSERT ON asked FOR EACH ROW EXECUTE FUNCTION dadbs.contract('logged')",
          "SELECT dadbs.deploy_contract('change', $$BEGIN UPDATE log SET v = p_v WHERE id = p_id; DELETE FROM log WHERE id = p_id + 1; END$$, "
          "arguments => 'p_id int, p_v text')")
    c.settle()
    for k in range(40):
        c.run(1 + k % 4, f"INSERT INTO asked VALUES ({k}, 'x')")
    c.run(2, "SELECT dadbs.call_contract('change', 3, 'y')", "SELECT dadbs.call_contract('change', 9, 'z')")
    all_sound(c)


@suite.test
def what_was_changed_past_the_chain_is_named(c):
    """By a superuser whose changes are hidden as the extension hides its own, on one member."""
    c.run(1, "CREATE TABLE victim (id int PRIMARY KEY, v text, n int)", "INSERT INTO victim SELECT g, 'v' || g, g FROM generate_series(1, 1000) g",
          "UPDATE victim SET v = 'known' WHERE id = 17")
    c.settle()
    wrote = c.value(3, "SELECT max(height) FROM dadbs.changes WHERE relation = 'public.victim' AND operation = 'UPDATE'")
    behind(c, 3, "UPDATE victim SET v = 'forged' WHERE id = 17", "DELETE FROM victim WHERE id = 18", "INSERT INTO victim VALUES (5000, 'smuggled', 1)")
    found = problems(c, 3, "victim")
    equal([(p, k) for _, p, k, *_ in found], [("different", '{"id": 17}'), ("missing", '{"id": 18}'), ("extra", '{"id": 5000}')], "what is found")
    different, missing, extra = found
    equal(different[3:6], ('{"n": 17, "v": "known", "id": 17}', '{"n": 17, "v": "forged", "id": 17}', wrote), "the row that differs, and the block that says so")
    equal(c.run(3, f"SELECT id FROM dadbs.transaction('{different[6]}')"), [(different[6],)], "the transaction")
    equal((missing[3], missing[4]), ('{"n": 18, "v": "v18", "id": 18}', None), "the row that is missing")
    equal((extra[3], extra[4], extra[5]), (None, '{"n": 1, "v": "smuggled", "id": 5000}', None), "the row that nobody wrote")
    equal(problems(c, 1, "victim"), [], "the others")
    behind(c, 3, "UPDATE victim SET v = 'known' WHERE id = 17", "INSERT INTO victim VALUES (18, 'v18', 18)", "DELETE FROM victim WHERE id = 5000")
    all_sound(c)


@suite.test
def while_everybody_writes(c):
    """Schemas by dice, writers on all members, definitions between: nothing is said that is not so."""
    rng = random.Random(SEED)
    tables = make_schema(rng, "r", 6)
    for table in tables:
        for statement in table.definitions():
            c.run(1, statement)
    c.settle()
    workers, runs = Workers(), []

    def write(stop, member, dice):
        connection = None
        while not stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = c.connect(member, autocommit=False)
                with connection.cursor() as cursor:
                    for _ in range(dice.randrange(1, 5)):
                        cursor.execute(dice.choice(tables).statement(dice))
                connection.commit()
            except psycopg2.Error:
                if connection is not None and not connection.closed:
                    try:
                        connection.rollback()
                    except psycopg2.Error:
                        connection.close()

    def define(stop):
        k = 0
        while not stop.is_set():
            k += 1
            table = rng.choice(tables).name
            for statement in (f"ALTER TABLE {table} ADD COLUMN extra{k} int DEFAULT {k}", f"ALTER TABLE {table} ALTER extra{k} TYPE text USING 'e' || extra{k}",
                              f"ALTER TABLE {table} DROP COLUMN extra{k}"):
                sqlstate(lambda: c.run(1 + k % 4, statement))
                time.sleep(0.3)
            done, until = len(runs), time.monotonic() + 5
            while len(runs) < done + 2 and time.monotonic() < until and not stop.is_set():
                time.sleep(0.1)  # one that meets a definition begins again

    def verify(stop, member):
        while not stop.is_set():
            state = sqlstate(lambda: runs.append(problems(c, member)))
            check(state in (None, "40001", "57014", "57P01", "connection lost"), f"member {member}: {state}")
            if state is None:
                check(runs[-1] == [], f"seed {SEED}, member {member}: {runs[-1][:5]}")

    for member in c.members():
        for k in range(2):
            workers.start(write, member, random.Random(f"{SEED} {member} {k}"))
    workers.start(define)
    for member in (2, 3):
        workers.start(verify, member)
    time.sleep(600 if LONG else 20)
    workers.join(120)
    check(len(runs) > 5, f"only {len(runs)} verifications came to their end")
    print(f"# seed {SEED}: {len(runs)} verifications while others wrote", flush=True)
    all_sound(c)


@suite.test
def fast_enough(c):
    """100,000 rows a second, of a table alone."""
    c.run(1, "CREATE TABLE big (id bigint PRIMARY KEY, a int, b text, c numeric)",
          "INSERT INTO big SELECT g, g % 1000, 'some words ' || g, g / 3.0 FROM generate_series(1, 300000) g")
    c.settle(120)
    times, seen, watching = [], set(), Workers()

    def watch(stop):
        while not stop.is_set():
            seen.update(c.run(2, "SELECT operation, phase, done <= total OR phase = 'reading rows' FROM dadbs.table_work"))
    watching.start(watch)
    problems(c, 2, "big")
    watching.join()
    equal({s for s in seen if not s[2]}, set(), "more is done than there is")
    check({"reading the chain", "reading rows", "comparing"} <= {phase for _, phase, _ in seen}, f"phases: {seen}")
    equal(c.run(2, "SELECT * FROM dadbs.table_work"), [], "nobody works any more")
    for _ in range(3):
        began = time.monotonic()
        equal(problems(c, 2, "big"), [], "big")
        times.append(time.monotonic() - began)
    print(f"# {300000 / min(times):.0f} rows/s ({', '.join(f'{t:.2f} s' for t in times)})", flush=True)


@suite.test
def who_may(c):
    c.run(1, "CREATE ROLE nobody LOGIN")
    c.settle()
    equal(sqlstate(lambda: c.run(1, "SELECT * FROM dadbs.verify_tables()", user="nobody")), "42501", "not everybody")
    equal(error_of(lambda: c.run(1, "SELECT * FROM dadbs.verify_tables('pg_class')")).pgcode, "42809", "not a shared table")


if __name__ == "__main__":
    suite.main()
