"""Definitions and rows of the same tables from all members at once: some lose, nothing hangs, the members stay equal."""
import random
import time

import psycopg2

from harness import LONG, Suite, Workers, check

suite = Suite("ddl_storm", port=7900)
EXPECTED = {"40001", "42P01", "42P07", "42701", "42703", "42710", "42704", "2BP01", "23505", "23503", "23502", "42P16", "0A000",
            "42883", "3F000", "22P02", "42804", "23514", "55000", "42809", "40P01", "42P06"}


def statements(r):
    t, u = (f"s.t{r.randrange(3)}" for _ in range(2))
    k = r.randrange(50)
    ddl = [
        f"CREATE TABLE {t} (id int PRIMARY KEY, v text, n int DEFAULT 1)",
        f"CREATE TABLE IF NOT EXISTS {t} (id serial PRIMARY KEY, v text)",
        f"DROP TABLE {t}", f"DROP TABLE IF EXISTS {t} CASCADE",
        f"ALTER TABLE {t} ADD COLUMN c{r.randrange(3)} int DEFAULT {k}",
        f"ALTER TABLE {t} DROP COLUMN IF EXISTS c{r.randrange(3)}",
        f"ALTER TABLE {t} ADD COLUMN at timestamptz DEFAULT now()",
        f"ALTER TABLE {t} ADD CHECK (id >= 0)", f"ALTER TABLE {t} ALTER COLUMN n TYPE bigint",
        f"CREATE INDEX ON {t} (v)", f"CREATE UNIQUE INDEX IF NOT EXISTS u{r.randrange(3)} ON {t} (v)",
        f"ALTER TABLE {t} ADD FOREIGN KEY (n) REFERENCES {u}", f"ALTER TABLE {t} RENAME TO t{r.randrange(3)}",
        f"COMMENT ON TABLE {t} IS '{k}'", "CREATE TYPE s.e AS ENUM ('a', 'b')", "DROP TYPE s.e", "DROP TYPE IF EXISTS s.e CASCADE",
        f"ALTER TYPE s.e ADD VALUE IF NOT EXISTS 'v{k}'", f"ALTER TABLE {t} ADD COLUMN e s.e DEFAULT 'a'",
        f"CREATE OR REPLACE FUNCTION s.f(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 >= {-k}'",
        f"ALTER TABLE {t} ADD CHECK (s.f(id))", "DROP FUNCTION IF EXISTS s.f(int)", f"TRUNCATE {t} CASCADE",
        f"CREATE OR REPLACE VIEW s.v AS SELECT id FROM {t}", "DROP VIEW IF EXISTS s.v",
    ]
    dml = [f"INSERT INTO {t} (id, v) VALUES ({k}, '{k}') ON CONFLICT DO NOTHING", f"UPDATE {t} SET v = v || 'x' WHERE id = {k}",
           f"DELETE FROM {t} WHERE id = {k}", f"INSERT INTO {t} (id, v) SELECT i, i::text FROM generate_series({k}, {k + 5}) i"]
    kind = r.random()
    if kind < 0.3:
        return [r.choice(ddl)]
    if kind < 0.8:
        return [r.choice(dml)]
    return ["BEGIN", *(r.choice(ddl if r.random() < 0.4 else dml) for _ in range(3)), "COMMIT"]


@suite.test
def definitions_and_rows_at_once(c):
    c.run(1, "CREATE SCHEMA s")
    c.settle()
    seed = random.randrange(1 << 30)
    print(f"# seed {seed}")
    done = {"ok": 0}

    def client(stop, i, number):
        r = random.Random(seed + number)
        connection = c.connect(i)
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE dadbs_owner")
            while not stop.is_set():
                batch = statements(r)
                started = time.monotonic()
                try:
                    for statement in batch:
                        cursor.execute(statement)
                    done["ok"] += 1
                except psycopg2.Error as e:
                    plain = e.pgcode == "XX000" and ("tuple concurrently updated" in str(e) or "cache lookup failed" in str(e))  # as on a server alone
                    check(e.pgcode in EXPECTED or plain, f"{e.pgcode} {e} after {batch}")
                    done[e.pgcode] = done.get(e.pgcode, 0) + 1
                    if len(batch) > 1:
                        cursor.execute("ROLLBACK")
                took = time.monotonic() - started
                check(took < 15, f"{batch} took {took:.1f} s")
        connection.close()

    workers = Workers()
    for number in range(8):
        workers.start(client, 1 + number % 4, number)
    time.sleep(120 if LONG else 20)
    workers.join(60)
    print(f"# {done}")
    check(done["ok"] > 50, f"too little got through: {done}")


@suite.test
def schemas_swapped_under_rows(c):
    """Renaming a schema locks none of its tables: who writes them at the same time is told to try again, and is not alone with rows in another table."""
    c.run(1, "CREATE SCHEMA new", "CREATE SCHEMA old", "CREATE TABLE new.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), was text NOT NULL)",
          "CREATE TABLE old.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), was text NOT NULL)")
    c.settle()
    done = {"ok": 0}

    def client(stop, i, *batches):
        connection = c.connect(i)
        with connection.cursor() as cursor:
            while not stop.is_set():
                for batch in batches:
                    try:
                        for statement in batch:
                            cursor.execute(statement)
                        done["ok"] += 1
                    except psycopg2.Error as e:
                        check(e.pgcode in ("40001", "3F000", "42P01", "42P06"), f"{e.pgcode} {e} after {batch}")
                        done[e.pgcode] = done.get(e.pgcode, 0) + 1
                        cursor.execute("ROLLBACK")
        connection.close()

    workers = Workers()
    workers.start(client, 1, ["BEGIN", "ALTER SCHEMA new RENAME TO between", "ALTER SCHEMA old RENAME TO new", "ALTER SCHEMA between RENAME TO old", "COMMIT"])
    workers.start(client, 2, ["ALTER SCHEMA new RENAME TO newer"], ["ALTER SCHEMA newer RENAME TO new"])
    for i in c.members():
        workers.start(client, i, ["INSERT INTO new.t (was) VALUES ('new')"], ["INSERT INTO old.t (was) VALUES ('old')"])
    time.sleep(60 if LONG else 8)
    workers.join(60)
    print(f"# {done}", flush=True)
    check(done["ok"] > 50 and done.get("40001"), f"nothing came between: {done}")


suite.main()
