"""Values arrive exactly as they were: every built-in type's edges, arrays, NULLs, TOAST, in binary comparison."""
import io

from harness import Suite, check, equal

suite = Suite("values", port=7780)

# type: literals
VALUES = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["0", "1.0", "1.00", "-1e-20", "NaN", "Infinity", "-Infinity", "123456789012345678901234567890.123456789"],
    "real": ["0", "-0", "1e-45", "3.4028235e38", "NaN", "-Infinity", "0.1"],
    "double precision": ["-0", "5e-324", "1.7976931348623157e308", "NaN", "Infinity", "0.1", "0.30000000000000004"],
    "money": ["-92233720368547758.08", "92233720368547758.07"],
    "text": ["", "'quotes'' and \\ backslash", "line\nbreak\ttab", "ünïcödé 漢字 🙂"],
    "character varying(5)": ["", "abcde", "ab   "],
    "character(5)": ["", "ab", "abcde"],
    "name": ["a name"],
    '"char"': ["", "x"],
    "bytea": ["\\x", "\\x00ff00", "\\xdeadbeef"],
    "date": ["4714-11-24 BC", "5874897-12-31", "infinity", "-infinity", "2000-02-29"],
    "time": ["00:00:00", "24:00:00", "12:34:56.789012"],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59"],
    "timestamp": ["4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"],
    "timestamptz": ["4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "2024-03-31 02:30:00+01"],
    "interval": ["-178000000 years", "178000000 years", "1 mon -1 day 00:00:00.000001", "0"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b": 1,  "a":[1,2 ,3], "b": 2}', "null", '"x"'],
    "jsonb": ['{"b": 1, "a": [1, 2, 3]}', "null", '"x"', "1e400"],
    "xml": ["<a b='c'>d</a>"],
    "inet": ["0.0.0.0/0", "192.168.1.5/24", "::ffff:1.2.3.4", "fe80::1/64"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(5)": ["10101"],
    "bit varying": ["", "1", "101010101"],
    "point": ["(1.5,-2.5)", "(NaN,Infinity)"],
    "line": ["{1,-1,0}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(0,0),1.5>"],
    "tsvector": ["'a':1A,2 'b':3"],
    "tsquery": ["'a' & !'b' | 'c':*"],
    "int4range": ["empty", "[1,10)", "(,5)", "[5,)"],
    "numrange": ["[1.0,1.00]", "(,)"],
    "tstzrange": ["[2020-01-01,infinity)"],
    "int4multirange": ["{}", "{[1,3),[5,7)}"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "integer[]": ["{}", "{1,NULL,3}", "[2:3]={1,2}", "{{1,2},{3,4}}"],
    "text[]": ['{"a,b","c\\"d",NULL,""}'],
    "numeric[]": ["{1.0,1.00,NaN}"],
    "timestamptz[]": ["{infinity,2020-01-01 00:00:00+00}"],
    "mood": ["sad", "happy"],
    "mood[]": ["{sad,NULL,happy}"],
    "positive": ["1", "32767"],
    "pair": ["(1,x)", "(,)", '(5,"a,b")'],
    "pair[]": ['{"(1,x)","(2,)"}'],
    "floatrange": ["[1.5,2.5]", "empty"],
}


@suite.test
def every_built_in_type(c):
    c.run(1, "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
    c.run(1, "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)")
    c.run(1, "CREATE TYPE pair AS (a int, b text)")
    c.run(1, "CREATE TYPE floatrange AS RANGE (subtype = float8)")
    for k, kind in enumerate(VALUES):
        c.run(1, f"CREATE TABLE v{k} (id int PRIMARY KEY, v {kind})")
    c.settle()
    for k, (kind, literals) in enumerate(VALUES.items()):
        member = 1 + k % 4
        connection = c.connect(member)
        cursor = connection.cursor()
        for n, literal in enumerate(literals):
            cursor.execute(f"INSERT INTO v{k} VALUES (%s, %s::{kind})", (n, literal))
        cursor.execute(f"INSERT INTO v{k} VALUES (1000, NULL)")
        # An update of another row's value, so that U travels too.
        cursor.execute(f"UPDATE v{k} SET v = (SELECT v FROM v{k} WHERE id = 0) WHERE id = 1000")
        connection.close()
    c.settle()
    for k, kind in enumerate(VALUES):
        # Binary where the type has a binary form; its text besides.
        query = f"SELECT id, v::text, pg_column_size(v) FROM v{k} ORDER BY id"
        expected = c.run(1 + k % 4, query)
        for i in c.members():
            equal(c.run(i, query), expected, f"{kind} on member {i}")
    for k, kind in enumerate(VALUES):
        image = f"COPY (SELECT v FROM v{k} ORDER BY id) TO STDOUT (FORMAT binary)"
        if kind in ("mood[]", "pair", "pair[]"):
            continue  # their binary form holds OIDs, which differ between servers
        seen = {i: binary(c, i, image) for i in c.members()}
        check(len(set(seen.values())) == 1, f"binary images of {kind} differ")


def binary(c, i, query):
    connection = c.connect(i)
    out = io.BytesIO()
    connection.cursor().copy_expert(query, out)
    connection.close()
    return out.getvalue()


@suite.test
def toast_changed_and_unchanged(c):
    c.run(1, "CREATE TABLE toast (id int PRIMARY KEY, big text, other int)",
          "ALTER TABLE toast ALTER COLUMN big SET STORAGE EXTERNAL")
    c.run(2, "INSERT INTO toast SELECT 1, string_agg(md5(g::text), ''), 0 FROM generate_series(1, 3000) g")
    c.settle()
    c.run(3, "UPDATE toast SET other = 1 WHERE id = 1")
    c.settle()
    c.run(4, "UPDATE toast SET id = 2 WHERE id = 1")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT id, other, length(big) FROM toast"), [(2, 1, 96000)], f"on member {i}")


@suite.test
def ten_megabytes(c):
    c.run(1, "CREATE TABLE large (id int PRIMARY KEY, v bytea)")
    c.settle()
    c.run(2, "INSERT INTO large VALUES (1, (SELECT string_agg(sha256(g::text::bytea), '') FROM generate_series(1, 330000) g))")
    c.settle(60)
    for i in c.members():
        check(c.value(i, "SELECT length(v) FROM large") > 10_000_000, "length")


@suite.test
def generated_and_dropped_columns(c):
    c.run(1, "CREATE TABLE gen (id int PRIMARY KEY, a int, gone text, b int GENERATED ALWAYS AS (a * 2) STORED)",
          "INSERT INTO gen (id, a, gone) VALUES (1, 10, 'x')")
    c.settle()
    c.run(2, "ALTER TABLE gen DROP COLUMN gone")
    c.settle()
    c.run(3, "UPDATE gen SET a = 11 WHERE id = 1", "INSERT INTO gen (id, a) VALUES (2, 5)")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT id, a, b FROM gen ORDER BY id"), [(1, 11, 22), (2, 5, 10)], f"on member {i}")


@suite.test
def partitions(c):
    c.run(1, "CREATE TABLE part (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
          "CREATE TABLE part_2024 PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
          "CREATE TABLE part_2025 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
    c.settle()
    c.run(2, "INSERT INTO part VALUES (1, '2024-05-05', 'a'), (2, '2025-05-05', 'b')")
    c.settle()
    c.run(3, "UPDATE part SET at = '2025-06-06' WHERE id = 1")
    c.settle()
    for i in c.members():
        equal(c.value(i, "SELECT count(*) FROM part_2025"), 2, f"on member {i}")


if __name__ == "__main__":
    suite.main()
