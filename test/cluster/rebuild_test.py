"""dadbs.rebuild_table and rebuild_database: a member whose rows, pages or indexes were changed past the chain is equal again, while the others go on."""
import time

import psycopg2

from harness import Suite, Workers, check, equal, error_of, eventually, sqlstate
from tamper import behind, heap_file, single

suite = Suite("rebuild", port=9660)
FOUND = "SELECT table_name, problem, key::text FROM dadbs.verify_tables() ORDER BY 1, 2, 3"


def digest(c, member, table):
    return bytes(c.value(member, f"SELECT dadbs.table_digest('{table}')"))


@suite.test
def rows_are_made_anew(c):
    c.run(1, "CREATE TYPE mood AS ENUM ('sad', 'glad')",
          "CREATE TABLE t (id int PRIMARY KEY, v text, m mood DEFAULT 'sad', gone int, n int UNIQUE, twice int GENERATED ALWAYS AS (id * 2) STORED)",
          "CREATE TABLE ref (id int PRIMARY KEY, t int REFERENCES t)", "CREATE TABLE bag (v text)",
          "INSERT INTO t (id, v, n) SELECT g, repeat('v', g), g FROM generate_series(1, 3000) g", "INSERT INTO ref SELECT g, g FROM generate_series(1, 100) g",
          "INSERT INTO bag SELECT 'x' FROM generate_series(1, 10)",
          "ALTER TABLE t DROP COLUMN gone", "UPDATE t SET m = 'glad', v = v || '!' WHERE id % 7 = 0", "DELETE FROM t WHERE id > 2900")
    c.settle()
    behind(c, 3, "UPDATE t SET v = 'forged' WHERE id = 1000", "DELETE FROM t WHERE id = 1001", "INSERT INTO t (id, v, n) VALUES (9000, 'smuggled', 9000)",
           "DELETE FROM bag WHERE ctid = (SELECT max(ctid) FROM bag)")
    equal(c.run(3, FOUND), [("public.bag", "missing", None), ("public.t", "different", '{"id": 1000}'), ("public.t", "extra", '{"id": 9000}'),
                            ("public.t", "missing", '{"id": 1001}')], "what is found")
    equal(c.value(3, "SELECT dadbs.rebuild_table('t')"), 2900, "rows of t")
    equal(c.value(3, "SELECT dadbs.rebuild_table('bag')"), 10, "rows of bag")
    equal(c.run(3, FOUND), [], "what is found then")
    for table in ("t", "bag", "ref"):
        equal({digest(c, i, table) for i in c.members()}, {digest(c, 1, table)}, f"{table} on all members")
    kept = dict(c.run(3, "SELECT table_name, kept_as FROM dadbs.rebuilt_tables"))
    equal(c.run(3, f"SELECT id, v, m FROM {kept['public.t']} WHERE id IN (1000, 1001, 9000) ORDER BY id"), [(1000, "forged", "sad"), (9000, "smuggled", "sad")], "old rows")
    c.run(3, f"DROP TABLE {kept['public.t']}")
    equal(c.run(3, "SELECT kept_as FROM dadbs.rebuilt_tables WHERE table_name = 'public.t'"), [(None,)], "until they are dropped")
    # It is the table that it was: constraints, types and keys hold, and changes come in.
    equal(sqlstate(lambda: c.run(3, "DELETE FROM t WHERE id = 50")), "23503", "its foreign keys")
    c.run(3, "UPDATE t SET v = 'new' WHERE id = 1001")
    c.run(1, "DELETE FROM t WHERE id = 1000", "ALTER TYPE mood ADD VALUE 'fine'", "INSERT INTO t (id, v, n, m) VALUES (9000, 'honest', 9000, 'fine')")


@suite.test
def keys_and_values_of_all_lengths(c):
    """Short keys stand for themselves where rows are compared, long ones by a digest; batches of rows end by their number, their bytes and their last row."""
    tables = {"brief": "id int PRIMARY KEY, v text", "texts": "id text PRIMARY KEY, v text", "pairs": "a text, b text, v text, PRIMARY KEY (a, b)",
              "numbers": "id numeric PRIMARY KEY, v text", "documents": "id jsonb PRIMARY KEY, v int", "keyless": "v text, w int"}
    c.run(1, *(f"CREATE TABLE {table} ({columns})" for table, columns in tables.items()), "ALTER TABLE texts ALTER v SET STORAGE EXTERNAL",
          "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)", "CREATE TABLE owned (id int PRIMARY KEY, s short, v text)",
          "INSERT INTO brief SELECT g, repeat('v', g % 50) FROM generate_series(-2500, 2500) g",
          "INSERT INTO texts SELECT repeat(chr(65 + g % 26), g), repeat(md5(g::text), g * 3) FROM generate_series(0, 400) g",
          "INSERT INTO pairs SELECT repeat('a', g), repeat('a', h), g || ' ' || h FROM generate_series(0, 30) g, generate_series(0, 30) h",
          "INSERT INTO numbers SELECT g / 8.0, 'x' FROM generate_series(-900, 900) g", "INSERT INTO numbers VALUES (1e40, 'y'), (-1e-40, 'z'), ('NaN', 'n')",
          # The hash function of jsonb gives the same for both: it does not see elements change places that are 32 apart.
          "INSERT INTO documents SELECT jsonb_agg(CASE WHEN v = 0 THEN g ELSE (g + 32) % 64 END ORDER BY g), v FROM generate_series(0, 63) g, generate_series(0, 1) v GROUP BY v",
          """INSERT INTO documents VALUES ('1', 2), ('"1"', 3), ('[1]', 4), ('{}', 5), ('[]', 6), ('null', 7), ('[[1, 2], 3]', 8), ('[1, [2, 3]]', 9), ('{"a": {"b": 1}, "c": 1.50}', 10)""",
          "INSERT INTO keyless SELECT nullif(repeat('k', g % 40), ''), nullif(g % 40, 7) FROM generate_series(1, 3000) g",
          "INSERT INTO owned SELECT g, 's' || g, repeat('v', 20000) FROM generate_series(1, 30) g")
    c.settle()
    equal(c.value(1, "SELECT count(DISTINCT jsonb_hash_extended(id, 42)) FROM documents WHERE v < 2"), 1, "hashes of two documents")
    c.run(3, """UPDATE documents SET v = 11 WHERE id = '{"c": 1.5, "a": {"b": 1.00}}'""", """UPDATE documents SET id = '{"c": 1.5000, "a": {"b": 1}}' WHERE v = 11""")  # equal keys
    c.settle()
    equal(c.run(2, FOUND), [], "what is found")
    before = {table: c.run(2, f"SELECT count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM {table} r") for table in (*tables, "owned")}
    behind(c, 2, "DELETE FROM brief WHERE id IN (-2500, 0)", "UPDATE texts SET v = 'w' WHERE length(id) IN (0, 22, 23, 24, 400)",
           "UPDATE pairs SET v = '' WHERE a = 'a' AND b IN ('', 'a', 'aa')", "DELETE FROM numbers WHERE id IN (1, 'NaN', 1e40)", "DELETE FROM keyless WHERE w IS NULL",
           "DELETE FROM documents WHERE v IN (0, 4, 8)",
           "UPDATE owned SET v = 'short' WHERE id = 30")
    found = [(name.removeprefix("public."), problem) for name, problem, _ in c.run(2, FOUND)]
    equal({f: found.count(f) for f in found}, {("brief", "missing"): 2, ("texts", "different"): 5, ("pairs", "different"): 3, ("numbers", "missing"): 3, ("documents", "missing"): 3,
                                               ("keyless", "missing"): 75, ("owned", "different"): 1}, "what is found then")
    after = {table: c.run(2, f"SELECT count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM {table} r") for table in before}
    for table in before:
        c.run(2, f"SELECT dadbs.rebuild_table('{table}')")
        kept = c.value(2, f"SELECT kept_as FROM dadbs.rebuilt_tables WHERE table_name = 'public.{table}'")
        equal(c.run(2, f"SELECT count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM {kept} r"), after[table], f"old rows of {table}")
        equal(c.run(2, f"SELECT count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM {table} r"), before[table], f"rows of {table}")
        equal({digest(c, i, table) for i in c.members()}, {digest(c, 1, table)}, f"{table} on all members")
        c.run(2, f"DROP TABLE {kept}")
    equal(c.run(2, FOUND), [], "in the end")


@suite.test
def digests_do_not_follow_settings(c):
    """What a session or a server has set is no difference between members."""
    session = c.connect(2).cursor()
    session.execute("SELECT dadbs.database_digest()")
    usual = bytes(session.fetchone()[0])
    for setting in ("quote_all_identifiers = on", "standard_conforming_strings = off", "bytea_output = escape", "extra_float_digits = -5", "DateStyle = 'SQL, DMY'",
                    "IntervalStyle = sql_standard", "TimeZone = 'Asia/Kolkata'", "search_path = ''", "array_nulls = off", "backslash_quote = off", "xmlbinary = hex"):
        session.execute(f"SET {setting}; SELECT dadbs.database_digest()")
        equal(bytes(session.fetchone()[0]), usual, setting)
    session.connection.close()


@suite.test
def pages_and_indexes(c):
    """A heap page of zeroes, and a unique index that misses an entry."""
    c.settle()
    path = heap_file(c, 2, "t")
    c.stop_member(2)
    with open(path, "r+b") as f:
        f.seek(8192)
        f.write(bytes(8192))
    c.start_member(2)
    c.wait_ready()
    lost = c.run(2, FOUND)
    check(len(lost) > 10 and {p for _, p, _ in lost} == {"index", "missing"} or {p for _, p, _ in lost} == {"missing"}, f"{lost[:5]}")
    c.run(2, "SELECT dadbs.rebuild_table('t')")
    equal(c.run(2, FOUND), [], "after the page was made anew")

    behind(c, 2, "UPDATE pg_index SET indisready = false, indislive = true WHERE indexrelid = 't_n_key'::regclass",)
    behind(c, 2, "UPDATE t SET v = v WHERE id = 77", "UPDATE pg_index SET indisready = true WHERE indexrelid = 't_n_key'::regclass")
    found = c.run(2, FOUND)
    equal(found, [("public.t_n_key", "index", None)], "the index")
    c.run(2, "SELECT dadbs.rebuild_table('t')")
    equal(c.run(2, FOUND), [], "after the index was made anew")
    equal(c.value(2, "SET enable_seqscan = off; SELECT count(*) FROM t WHERE n = 77"), 1, "it finds the row")


@suite.test
def while_all_write(c):
    """Writers of the same table on the member that is rebuilt and on the others: nobody loses anything, nobody is told a lie."""
    workers, done, refused = Workers(), [], []

    def write(stop, member, first):
        k = first
        while not stop.is_set():
            k += 4
            state = sqlstate(lambda: c.run(member, f"INSERT INTO t (id, v, n) VALUES ({k}, 'w', {k})", f"UPDATE t SET v = v || 'x' WHERE id = {2000 + k % 300}"))
            (done if state is None else refused).append((k, state))

    for member in c.members():
        workers.start(write, member, 100000 + member)
    eventually(lambda: len(done) > 10, 30, "writers")
    for _ in range(5):
        before = len(done)
        c.run(4, "SELECT dadbs.rebuild_table('t')")
        eventually(lambda: len(done) > before + 5, 30, "writers go on")
    workers.join()
    check({s for _, s in refused} <= {"40001", "57014", "40003"}, f"{refused[:5]}")
    c.settle()
    present = {k for k, in c.run(4, "SELECT id FROM t WHERE id > 100000")}
    check({k for k, _ in done} <= present, "what was committed is there")
    for i in c.members():
        equal(c.run(i, FOUND), [], f"member {i}")


@suite.test
def the_whole_database(c):
    """Table by table; broken off it goes on where it was."""
    c.run(1, "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY HASH (id)", "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
          "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1)", "INSERT INTO p SELECT g, 'v' FROM generate_series(1, 200) g",
          # Functions that a superuser does not run: what is constant in an index is evaluated by whoever only looks at it.
          "CREATE TABLE folded (id int PRIMARY KEY, n int)", "CREATE FUNCTION more(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'",
          "CREATE INDEX ON folded ((more(n) + more(0)))", "CREATE INDEX ON folded (n) WHERE n > more(0)", "GRANT INSERT ON folded TO dadbs_owner",
          "SET ROLE dadbs_owner", "INSERT INTO folded SELECT g, g FROM generate_series(1, 50) g", "RESET ROLE")
    c.settle()
    behind(c, 2, "DELETE FROM folded WHERE id = 7", "DELETE FROM p WHERE id < 20", "DELETE FROM ref", "UPDATE t SET v = NULL WHERE id < 100")
    check(len(c.run(2, FOUND)) > 200, "what is found")
    c.run(2, "INSERT INTO dadbs_internal.rebuild_run VALUES (1, now(), NULL)", "INSERT INTO dadbs_internal.rebuilt VALUES ('public.ref', 1, 0, 0, '', now())")
    c.run(2, "CALL dadbs.rebuild_database()")
    equal({t for t, _, _ in c.run(2, FOUND)}, {"public.ref"}, "that one was done, it says")
    c.run(2, "CALL dadbs.rebuild_database()")
    equal(c.run(2, FOUND), [], "all")
    c.run(1, "DROP TABLE folded")  # nor does a superuser plan queries of it
    equal(sqlstate(lambda: c.run(2, "BEGIN; SELECT dadbs.rebuild_table('p'); COMMIT")), "25001", "in a block")


@suite.test
def what_it_does_not_do(c):
    """Nothing from a history that is not the group's; nothing for others than superusers."""
    equal(error_of(lambda: c.run(2, "SELECT dadbs.rebuild_table('pg_class')")).pgcode, "42809", "not shared")
    for query in ("SELECT dadbs.rebuild_table('p')", "SELECT * FROM dadbs.verify_tables('p')"):  # values would be converted from the client's encoding
        equal(error_of(lambda q=query: c.run(2, "SET client_encoding = 'LATIN1'", q)).pgcode, "0A000", query)
    height = c.value(2, "SELECT max(height) FROM dadbs_internal.transaction WHERE verdict = 1")
    eventually(lambda: c.value(2, "SELECT count(*) = 4 AND min(height) >= " + str(height) + " FROM dadbs.state_digests"), 30, "all have signed what they have come to there")
    c.run(2, f"UPDATE dadbs_internal.transaction SET verdict = 3 WHERE height = {height}")
    e = error_of(lambda: c.run(2, "SELECT dadbs.rebuild_table('p')"))
    equal(e.pgcode, "XX001", str(e))
    c.run(2, f"UPDATE dadbs_internal.transaction SET verdict = 1 WHERE height = {height}")
    c.run(2, "SELECT dadbs.rebuild_table('p')")
    body = c.value(2, "SELECT body FROM dadbs_internal.batch ORDER BY height LIMIT 1")
    c.run(2, "UPDATE dadbs_internal.batch SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE height = (SELECT min(height) FROM dadbs_internal.batch)")
    e = error_of(lambda: c.run(2, "SELECT dadbs.rebuild_table('p')"))
    equal((e.pgcode, "damaged" in str(e)), ("XX001", True), str(e))
    connection = c.connect(2)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dadbs_internal.batch SET body = %s WHERE height = (SELECT min(height) FROM dadbs_internal.batch)", (bytes(body),))
    connection.close()


if __name__ == "__main__":
    suite.main()
