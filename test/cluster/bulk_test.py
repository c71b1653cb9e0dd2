"""Loads of many rows in one transaction: written in bulk by the others, and by the origin where it is replayed."""
import io
import threading

from harness import CONFLICT, Suite, check, equal, sqlstate

suite = Suite("bulk", port=7980)
ROWS = 3000


@suite.test
def rows_of_every_kind(c):
    c.run(1, "CREATE TABLE wide (id bigserial PRIMARY KEY, a int UNIQUE, b text CHECK (length(b) < 20000), twice int GENERATED ALWAYS "
             "AS (a * 2) STORED, rank int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
          "CREATE INDEX wide_lower ON wide (lower(left(b, 10))) WHERE a % 3 = 0",
          "CREATE TABLE parts (id int, day int, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
          "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)",
          "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000)",
          "CREATE TABLE child (id serial PRIMARY KEY, wide_id bigint REFERENCES wide)")
    c.settle()
    for i in c.members():
        base = i * 100_000
        connection = c.connect(i, autocommit=False)
        try:
            k = connection.cursor()
            k.execute("INSERT INTO wide (a, b, rank) SELECT %s + i, CASE i %% 50 WHEN 0 THEN repeat(md5(i::text), 300) WHEN 1 THEN NULL "
                      "ELSE 'row ' || i END, %s + i FROM generate_series(1, %s) i", (base, base, ROWS))
            # What was gathered is in place when something else follows.
            k.execute("UPDATE wide SET b = 'changed', rank = rank + 1 WHERE a > %s", (base + ROWS - 200,))
            k.execute("SAVEPOINT s")
            k.execute("INSERT INTO wide (a, rank) SELECT %s - i, %s - i FROM generate_series(1, 500) i", (base, base))
            k.execute("ROLLBACK TO s")
            k.execute("INSERT INTO parts SELECT i, i %% 1000, 'p' || i FROM generate_series(%s, %s) i", (base, base + ROWS))
            k.execute("DELETE FROM wide WHERE a BETWEEN %s AND %s", (base + 10, base + 30))
            k.execute("INSERT INTO wide (a, rank) SELECT %s + i, %s + i FROM generate_series(10, 30) i", (base, base))
            k.execute("INSERT INTO child (wide_id) SELECT id FROM wide WHERE a BETWEEN %s AND %s", (base, base + 500))
            connection.commit()
        finally:
            connection.close()
        c.settle()
    equal(c.value(4, "SELECT count(*) FROM wide"), 4 * ROWS, "rows")
    equal(c.value(3, "SELECT count(*) FROM wide WHERE twice IS DISTINCT FROM a * 2"), 0, "generated values")
    equal(c.value(2, "SELECT count(*) FROM child"), 4 * 500, "children")
    equal(c.value(2, "SET enable_seqscan = off; SELECT count(*) FROM wide WHERE lower(left(b, 10)) = 'changed' AND a % 3 = 0"),
          c.value(1, "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM wide WHERE b = 'changed' AND a % 3 = 0"),
          "the partial index")


@suite.test
def replayed_at_the_origin_too(c):
    c.run(1, "CREATE TABLE again (id int PRIMARY KEY, v text)", "INSERT INTO again SELECT i, 'old' FROM generate_series(1, 100) i")
    c.run(1, "BEGIN", "TRUNCATE again", f"INSERT INTO again SELECT i, 'new' FROM generate_series(1, {ROWS}) i", "COMMIT")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT count(*), min(v) FROM again"), [(ROWS, "new")], f"rows on member {i}")


@suite.test
def copy_in(c):
    c.run(2, "CREATE TABLE copied (id bigint PRIMARY KEY, n int, v text)")
    c.settle()
    connection = c.connect(3)
    try:
        rows = "".join(f"{i}\t{i * 7919 % 1003}\t{'x' * (i % 40)}\n" for i in range(40_000))
        connection.cursor().copy_expert("COPY copied FROM STDIN", io.StringIO(rows))
    finally:
        connection.close()
    c.settle()
    equal(c.run(1, "SELECT count(*), sum(id), sum(n), sum(length(v)) FROM copied"),
          c.run(3, "SELECT count(*), sum(id), sum(n), sum(length(v)) FROM copied"), "sums")


@suite.test
def history_of_loads(c):
    """What is alike from row to row is not stored a thousand times over; what lz4 can't make smaller is kept as it is."""
    c.run(1, "CREATE TABLE told (id int PRIMARY KEY, v text, b bytea)")
    c.run(1, f"INSERT INTO told SELECT i, 'row ' || i FROM generate_series(1, {ROWS}) i")
    c.settle()
    c.run(2, "INSERT INTO told SELECT 0, NULL, string_agg(sha256(int4send(i)), '') FROM generate_series(1, 5000) i")
    c.settle()
    has_lz4 = c.value(1, "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    for i in c.members():
        stored = c.run(i, "SELECT pg_column_compression(body), pg_column_size(body) < octet_length(body) / 2 FROM dadbs_internal.batch "
                          "ORDER BY height DESC LIMIT 2")
        equal(stored, [(None, False), ("lz4", True) if has_lz4 else (None, False)], f"how member {i} stores the two loads")
        equal(c.value(i, "SELECT md5(b) FROM told WHERE id = 0"), c.value(2, "SELECT md5(b) FROM told WHERE id = 0"), f"bytes on member {i}")
    height = c.value(3, "SELECT min(height) FROM (SELECT height FROM dadbs_internal.batch ORDER BY height DESC LIMIT 2) x")
    equal(c.run(3, f"SELECT new_row ->> 'v' FROM dadbs.changes WHERE height = {height} AND new_row ->> 'id' IN ('1', '2999') "
                   "ORDER BY (new_row ->> 'id')::int"), [("row 1",), ("row 2999",)], "changes as the history tells them")


@suite.test
def loads_that_clash(c):
    """A duplicate deep in a load, that no key covers: one of the two loads is refused whole, everywhere."""
    c.run(1, "CREATE TABLE clash (id int PRIMARY KEY, a int, b text)", "CREATE UNIQUE INDEX clash_partial ON clash (a) WHERE b = 'x'")
    c.settle()
    connections = [c.connect(i, autocommit=False) for i in (1, 2)]
    results = [None, None]
    try:
        for n, connection in enumerate(connections):
            connection.cursor().execute(
                f"INSERT INTO clash SELECT {n * 10_000} + i, {n * 10_000} + i, CASE i WHEN 777 THEN 'x' END FROM generate_series(1, 1500) i")
            connection.cursor().execute(f"UPDATE clash SET a = 5 WHERE id = {n * 10_000 + 777}")

        def commit(n):
            results[n] = sqlstate(connections[n].commit)
        threads = [threading.Thread(target=commit, args=(n,)) for n in (0, 1)]
        [t.start() for t in threads]
        [t.join(60) for t in threads]
        check(not any(t.is_alive() for t in threads), "a commit hangs")
    finally:
        [connection.close() for connection in connections]
    check(results.count(None) == 1 and set(results) - {None} <= {"23505", CONFLICT}, f"one wins: {results}")
    c.settle()
    for i in c.members():
        equal(c.value(i, "SELECT count(*) FROM clash"), 1500, f"rows on member {i}")


suite.main()
