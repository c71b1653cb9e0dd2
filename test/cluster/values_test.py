"""Values arrive exactly as they were: every built-in type's edges, arrays, NULLs, TOAST, in binary comparison."""
import io

from clients import Background
from harness import LONG, Suite, check, equal, sqlstate

suite = Suite("values", port=7780)

class Sql(str):
    """An expression instead of a literal."""


# type: values
VALUES = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "0", "32767"],
    "integer": ["-2147483648", "0", "2147483647"],
    "bigint": ["-9223372036854775808", "0", "9223372036854775807"],
    "numeric": ["0", "0.0", "1", "1.0", "1.00", "-1e-20", "1e-16383", "NaN", "Infinity", "-Infinity", "1e131071",
                "123456789012345678901234567890.123456789", "10000", "9999.9999"],
    "numeric(5,-2)": ["12345", "NaN"],
    "numeric(3,5)": ["0.00123"],
    "real": ["0", "-0", "1e-45", "1.17549435e-38", "3.4028235e38", "NaN", "Infinity", "-Infinity", "0.1"],
    "double precision": ["0", "-0", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "NaN", "Infinity", "0.1",
                         "0.30000000000000004"],
    "money": ["-92233720368547758.08", "0", "92233720368547758.07"],
    "text": ["", "'quotes'' and \\ backslash", "line\nbreak\ttab", "ünïcödé 漢字 🙂", "e\u0301", Sql("(repeat('x', 3000))"),
             Sql("(repeat('long ', 50000))"), Sql("(SELECT string_agg(md5(g::text), '' ORDER BY g) FROM generate_series(1, 3000) g)")],
    "character varying(5)": ["", "abcde", "ab   "],
    "character(5)": ["", "ab", "abcde"],
    "name": ["", "a name", "x" * 63],
    '"char"': ["", "x", Sql("((-128)::\"char\")"), Sql("((-1)::\"char\")")],
    "bytea": ["\\x", "\\x00ff00", "\\xdeadbeef", Sql("(decode(repeat('00ff', 100000), 'hex'))"),
              Sql("(SELECT string_agg(sha256(g::text::bytea), '' ORDER BY g) FROM generate_series(1, 3000) g)")],
    "date": ["4713-01-01 BC", "5874897-12-31", "infinity", "-infinity", "2000-02-29"],
    "time": ["00:00:00", "24:00:00", "12:34:56.789012"],
    "time(3)": ["12:34:56.7895"],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59", "12:00:00.000001+00:00:01"],
    "timestamp": ["4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "2000-01-01 00:00:00"],
    "timestamp(0)": ["2000-01-01 00:00:00.5"],
    "timestamptz": ["4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "2024-03-31 02:30:00+01"],
    "interval": ["-178000000 years", "178000000 years", "1 mon -1 day 00:00:00.000001", "0", "-2147483648 days", "30 days", "1 mon"],
    "interval year to month": ["17 months 3 days"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b": 1,  "a":[1,2 ,3], "b": 2}', "null", '"x\\u00e9"', " [ ] "],
    "jsonb": ['{"b": 1, "a": [1, 2, 3]}', "null", '"x"', "1e400", "1.00", '{"": {"": [{}, [], [[]]]}}',
              Sql("(SELECT jsonb_agg(jsonb_build_object('k', g, 'v', md5(g::text))) FROM generate_series(1, 2000) g)")],
    "jsonpath": ["$", "strict $.a[*] ? (@.b > 1.5 && @.c like_regex \"^x\" flag \"i\")"],
    "xml": ["<a b='c'>d</a>", "text", "<a/><b/>"],
    "inet": ["0.0.0.0/0", "192.168.1.5/24", "255.255.255.255", "::ffff:1.2.3.4", "fe80::1/64", "::"],
    "cidr": ["10.0.0.0/8", "::/0", "2001:db8::/32"],
    "macaddr": ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(5)": ["10101", "00000"],
    "bit(64)": [Sql("(repeat('10', 32)::bit(64))")],
    "bit varying": ["", "1", "101010101", Sql("(repeat('110', 9000)::varbit)")],
    "point": ["(1.5,-2.5)", "(NaN,Infinity)", "(-0,0)"],
    "line": ["{1,-1,0}", "{0,-1,Infinity}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)", "(Infinity,1),(-Infinity,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(0,0),1.5>", "<(0,0),Infinity>"],
    "tsvector": ["'a':1A,2 'b':3", "", "'it''s \\\\ x':16383D", Sql("(to_tsvector('simple', repeat('many words here ', 5000)))")],
    "tsquery": ["'a' & !'b' | 'c':*", "'a' <-> 'b' <3> !'c':AB", ""],
    "int4range": ["empty", "[1,10)", "(,5)", "[5,)", "(,)"],
    "int8range": ["[1,9223372036854775807)", "empty"],
    "numrange": ["[1.0,1.00]", "(,)", "[NaN,NaN]", "(1,2]"],
    "daterange": ["[2020-01-01,infinity]", "[-infinity,2020-01-01)", "empty"],
    "tsrange": ["(infinity,)", "[2020-01-01,2020-01-02]"],
    "tstzrange": ["[2020-01-01 00:00+00,infinity)", "empty"],
    "int4multirange": ["{}", "{[1,3),[5,7)}", "{(,)}"],
    "int8multirange": ["{(,1),[5,)}"],
    "nummultirange": ["{[1.0,1.00],(2,3]}"],
    "datemultirange": ["{[2020-01-01,2020-02-01)}"],
    "tsmultirange": ["{(,infinity)}"],
    "tstzmultirange": ["{}"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "oid": ["0", "4294967295"],
    "xid": ["0", "4294967295"],
    "xid8": ["0", "18446744073709551615"],
    "cid": ["4294967295"],
    "tid": ["(4294967295,65535)"],
    "int2vector": ["", "1 -2 3"],
    "oidvector": ["1 4294967295"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "refcursor": ["a cursor"],
    "regtype": ["integer", "0"],
    "regclass": ["pg_class", "-"],
    "regproc": ["now", "0"],
    "regprocedure": ["abs(integer)"],
    "regoper": ["||/"],
    "regoperator": ["+(integer,integer)"],
    "regconfig": ["simple"],
    "regdictionary": ["simple"],
    "regcollation": ['"C"'],
    "regnamespace": ["pg_catalog"],
    "mood": ["sad", "between", "happy", "ok"],
    "positive": ["1", "32767"],
    "words": ["{a,NULL}"],
    "pair": ["(1,x)", "(,)", '(5,"a,b")'],
    "nested": ['("(1,x)","{""(2,y)"",NULL}",happy,"[1.5,2.5]",7)', "(,,,,)"],
    "altered": ["(1,x,2.50)"],
    "row_of_table": ["(1,x)"],
    "floatrange": ["[1.5,2.5]", "empty", "[-0,0]", "(NaN,)"],
    "moodrange": ["[sad,happy)", "empty"],
    "moodmultirange": ["{[sad,ok],(happy,)}"],
    "span": ["[1,4)"],
}
USERS = ["mood", "positive", "words", "pair", "nested", "altered", "row_of_table", "floatrange", "moodrange", "moodmultirange", "span"]
TYPES = ["CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')", "ALTER TYPE mood ADD VALUE 'between' BEFORE 'happy'",
         "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)", "CREATE DOMAIN words AS text[] CHECK (array_length(VALUE, 1) < 9)",
         "CREATE TYPE pair AS (a int, b text)", "CREATE TYPE floatrange AS RANGE (subtype = float8)",
         "CREATE TYPE nested AS (p pair, many pair[], m mood, r floatrange, d positive)",
         "CREATE TYPE altered AS (a int, gone text, b text)", "ALTER TYPE altered DROP ATTRIBUTE gone", "ALTER TYPE altered ADD ATTRIBUTE c numeric",
         "CREATE TABLE row_of_table (a int PRIMARY KEY, gone int, b text)", "ALTER TABLE row_of_table DROP COLUMN gone",
         "CREATE TYPE moodrange AS RANGE (subtype = mood)", "CREATE DOMAIN span AS int4range CHECK (NOT isempty(VALUE))"]
# Types that hold OIDs of one member in their arrays; without an array type; without an order.
REFERENCES = [t for t in VALUES if t.startswith("reg")]
NO_ARRAY = REFERENCES + ["words"]
# What takes no input, or exists inside of Postgres only.
INTERNAL = {"aclitem", "gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies", "pg_mcv_list",
            "pg_ndistinct", "pg_node_tree", "pg_ddl_command", "regrole"}


def value(kind, literal):
    return f"{literal}::{kind}" if isinstance(literal, Sql) else "'" + literal.replace("'", "''") + f"'::{kind}"


def make_types(c):
    if c.value(1, "SELECT to_regtype('mood') IS NULL"):
        c.run(1, *TYPES)


def with_array(kind):
    return kind not in NO_ARRAY


def rows(session, query):
    with session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def rows_by_writer(session, query):
    """{writer: its rows in order}, by the first column, which is left out."""
    found = {}
    for writer, *row in rows(session, query):
        found.setdefault(writer, []).append(row)
    return found


def binary(session, query):
    out = io.BytesIO()
    session.cursor().copy_expert(query, out)
    return out.getvalue()


@suite.test
def every_built_in_type_is_here(c):
    """A new major version's types have to be thought of."""
    known = set(c.run(1, "SELECT oid FROM pg_type WHERE oid IN (" + ", ".join(f"'{kind}'::regtype" for kind in VALUES if kind not in USERS) + ")"))
    all_types = c.run(1, "SELECT oid, typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') "
                         "AND typcategory <> 'A' AND typname NOT LIKE '\\_%'")
    equal({name for oid, name in all_types if (oid,) not in known} - INTERNAL, set(), "types without values")


@suite.test
def every_type_from_every_member(c):
    """Each value, alone and in arrays, inserted through each member, then updated through another: the same bytes everywhere."""
    make_types(c)
    c.run(1, *(f"CREATE TABLE v{k} (id int PRIMARY KEY, v {kind}" + (f", a {kind}[])" if with_array(kind) else ")") for k, kind in enumerate(VALUES)))
    c.settle()

    def insert(member):
        connection = c.connect(member)
        cursor = connection.cursor()
        for k, (kind, literals) in enumerate(VALUES.items()):
            rows = []
            for n, literal in enumerate(literals):
                v = value(kind, literal)
                arrays = [f"ARRAY[{v}, NULL, {v}]", f"array_fill({v}, ARRAY[2, 1, 2], ARRAY[-1, 0, 7])", f"'{{}}'::{kind}[]"]
                rows.append(f"({1000 * member + n}, {v}" + (f", {arrays[n % 3]})" if with_array(kind) else ")"))
            rows.append(f"({1000 * member + 900}, NULL" + (", NULL)" if with_array(kind) else ")"))
            cursor.execute(f"INSERT INTO v{k} VALUES " + ", ".join(rows))
        connection.close()

    def update(member):  # the NULL becomes another row's value; a value is written over itself
        other = 1 + member % c.n
        connection = c.connect(member)
        cursor = connection.cursor()
        for k, kind in enumerate(VALUES):
            cursor.execute(f"UPDATE v{k} SET v = (SELECT v FROM v{k} WHERE id = {1000 * other}) WHERE id = {1000 * other + 900}; "
                           f"UPDATE v{k} SET v = v WHERE id = {1000 * other}")
        connection.close()
    for work in (insert, update):
        clients = [Background(work, member) for member in c.members()]
        for client in clients:
            client.result(300, "a client of every type")
        c.settle()
    sessions = {i: c.connect(i) for i in c.members()}
    for k, kind in enumerate(VALUES):
        columns = "v, a" if with_array(kind) else "v"
        sizes = ", ".join(f"pg_column_size({column}), {column}::text" for column in columns.split(", "))
        texts = {i: rows_by_writer(session, f"SELECT id / 1000, id % 1000, {sizes} FROM v{k} ORDER BY id") for i, session in sessions.items()}
        equal(set(texts[1]), set(c.members()), f"{kind}: writers")
        for i, of_writers in texts.items():
            for o, seen in of_writers.items():
                equal(seen, texts[1][1], f"{kind}: text and size on member {i}, written by {o}")
        if kind in USERS:
            continue  # the binary form of arrays and rows holds their types' OIDs
        images = {(i, o): binary(session, f"COPY (SELECT {columns} FROM v{k} WHERE id / 1000 = {o} ORDER BY id) TO STDOUT (FORMAT binary)")
                  for i, session in sessions.items() for o in c.members()}
        check(len(set(images.values())) == 1, f"binary images of {kind} differ: bytes {({at: len(image) for at, image in images.items()})}")
    for session in sessions.values():
        session.close()


@suite.test
def every_ordered_type_as_a_key(c):
    """Found again by their keys through other members, also where equal values look different (-0, 1.00)."""
    make_types(c)
    literals = {kind: [x for x in VALUES[kind] if not isinstance(x, Sql)] for kind in VALUES}
    sessions = {i: c.connect(i) for i in c.members()}
    kinds = [kind for kind in VALUES if kind not in REFERENCES and literals[kind] and rows(
        sessions[1], "SELECT EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod, "
           f"(SELECT CASE WHEN typtype = 'd' THEN typbasetype ELSE oid END AS oid, typtype, typcategory FROM pg_type WHERE oid = '{kind}'::regtype) t "
           "WHERE m.amname = 'btree' AND opcdefault AND (opcintype = t.oid OR (opcintype = 'anyenum'::regtype AND t.typtype = 'e') "
           "OR (opcintype = 'anyrange'::regtype AND t.typtype = 'r') OR (opcintype = 'anymultirange'::regtype AND t.typtype = 'm') "
           "OR (opcintype = 'record'::regtype AND t.typtype = 'c')))")[0][0]]
    check(len(kinds) > 40, f"only {len(kinds)} ordered types")
    c.run(1, *(f"CREATE TABLE k{k} (v {kind} PRIMARY KEY, n int DEFAULT 0)" for k, kind in enumerate(kinds)))
    c.settle()

    def through(member, statement):
        for k, kind in enumerate(kinds):
            sessions[member].cursor().execute("; ".join(statement.format(table=f"k{k}", v=value(kind, x)) for x in literals[kind]))
        c.settle()
    through(1, "INSERT INTO {table} VALUES ({v}) ON CONFLICT DO NOTHING")
    through(2, "UPDATE {table} SET n = n + 1 WHERE v = {v}")
    through(3, "UPDATE {table} SET v = {v} WHERE v = {v}")  # perhaps to an equal one
    for k, kind in enumerate(kinds):
        seen = {str(rows(session, f"SELECT v::text, pg_column_size(v), n FROM k{k} ORDER BY v")) for session in sessions.values()}
        check(len(seen) == 1, f"keys of {kind} differ: {seen}")
        check("'" in str(seen) or "[" in str(seen), f"no keys of {kind}")
    through(4, "DELETE FROM {table} WHERE v = {v}")
    for k, kind in enumerate(kinds):
        for i, session in sessions.items():
            equal(rows(session, f"SELECT v::text FROM k{k}"), [], f"keys of {kind} left on member {i}")
    for session in sessions.values():
        session.close()


@suite.test
def references_to_what_only_this_member_numbers(c):
    """regclass and its kin of the group's objects, in rows and arrays, and what others cannot read: refused, for their values are of one member."""
    make_types(c)
    c.run(1, "CREATE TABLE refers (id int PRIMARY KEY, t regclass, k regtype, r regrole, f regproc, a regclass[], acl aclitem)",
          "CREATE TABLE internals (id int PRIMARY KEY, tree pg_node_tree, one pg_class, d pg_dependencies)",
          "CREATE TABLE has_default (id int PRIMARY KEY, n int DEFAULT 1 + 2)", "CREATE ROLE named", "CREATE FUNCTION mine() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'")
    c.settle()
    for column, expression_ in (("t", "'refers'"), ("k", "'mood'"), ("f", "'mine'"), ("a", "ARRAY['pg_class'::regclass]"), ("r", "'named'"),
                                ("acl", "'named=r/named'"), ("acl", "'postgres=r/postgres'")):
        for i in c.members():
            equal(sqlstate(lambda i=i: c.run(i, f"INSERT INTO refers (id, {column}) VALUES (1, {expression_})")), "0A000", f"{column} on member {i}")
    for column, source in (("tree", "adbin FROM pg_attrdef"), ("one", "k FROM pg_class k WHERE relname = 'has_default'")):
        for i in c.members():  # the origin, which could read them, must not be alone with them
            equal(sqlstate(lambda i=i: c.run(i, f"INSERT INTO internals (id, {column}) SELECT 1, {source} LIMIT 1")), "0A000", f"{column} on member {i}")
    for column, expression_ in (("t", "'pg_type'"), ("k", "'text'"), ("f", "'now'")):
        c.run(3, f"INSERT INTO refers (id, {column}) VALUES ((SELECT count(*) FROM refers) + 1, {expression_})")
    c.settle()
    seen = {str(c.run(i, "SELECT id, t::text, k::text, f::text, t::oid, k::oid, f::oid FROM refers ORDER BY 1")) for i in c.members()}
    equal(len(seen), 1, "references to built-in objects")


@suite.test
def what_is_sent_and_not_received(c):
    """Values that their types make and do not read: the origin, which has them in its table already, refuses them as the others do."""
    c.run(1, "CREATE TYPE of_interval AS (i interval)", "CREATE DOMAIN any_interval AS interval",
          "CREATE TABLE odd (id int PRIMARY KEY, c circle, t timetz, ts timetz[], i of_interval, x xml, j json, b jsonb, js json[], l line, "
          "stamp timestamp(0), stamps timestamp(0)[], day time, di any_interval[], box box, r tsrange)")
    c.settle()
    nested = "(WITH RECURSIVE e(n, x) AS (SELECT 1, xmlelement(name a) UNION ALL SELECT n + 1, xmlelement(name a, x) FROM e WHERE n < 400) SELECT x FROM e WHERE n = 400)"
    least = "(interval '-9223372036854775807 microseconds' - interval '1 microsecond')"
    for column, source in (("stamp", "'294276-12-31 23:59:59.9'"), ("stamps", "ARRAY['294276-12-31 23:59:59.9']::timestamp(0)[]"), ("day", f"{least}::time"),
                           ("di", f"ARRAY[{least}]::any_interval[]"), ("r", "tsrange('294276-12-31 23:59:59.9'::timestamp(0), NULL)"), ("c", "circle(point '(0,0)', -5)"), ("t", "timetz '00:00+00' AT TIME ZONE interval '30 hours'"),
                           ("ts", "ARRAY[timetz '00:00+00' AT TIME ZONE interval '30 hours']"),
                           ("i", f"ROW({least})::of_interval"), ("x", nested)):
        codes = {sqlstate(lambda i=i: c.run(i, f"INSERT INTO odd (id, {column}) VALUES (1, {source})")) for i in c.members()}
        check(len(codes) == 1 and None not in codes, f"{column}: {codes}")
        equal(sqlstate(lambda: c.run(1, f"CREATE TEMP TABLE tried AS SELECT {source} AS value")), None, f"{column}: the value itself")
        print(f"# {column}: {codes}", flush=True)
        c.settle()
    c.run(3, "INSERT INTO odd (id, box) SELECT 3, box '((0,0),(-Infinity,-Infinity))' + point '(Infinity,Infinity)'")  # members would order its corners
    c.settle()
    equal(len({c.value(i, "SELECT box::text FROM odd WHERE id = 3") for i in c.members()}), 1, "a box")
    c.run(3, "DELETE FROM odd WHERE id = 3")
    c.run(2, "INSERT INTO odd VALUES (2, '<(0,0),5>', '10:00+02', '{10:00-05}', '(1 day)', '<a/>', '[[1]]', '{\"a\": [1]}', ARRAY['[1]'::json], '{1,2,3}')",
          "UPDATE odd SET c = '<(1,1),0>', l = '{0,1,0}' WHERE id = 2")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT id, c::text, t::text, ts::text, i::text, x::text, j::text, b::text, js::text, l::text FROM odd"),
              [(2, "<(1,1),0>", "10:00:00+02", "{10:00:00-05}", '("1 day")', "<a/>", "[[1]]", '{"a": [1]}', "{[1]}", "{0,1,0}")], f"on member {i}")


def turns(c, statement):
    """How many transactions the sessions of member 1 committed by themselves while it ran the statement."""
    query = "SELECT coalesce(sum(count), 0)::int FROM dadbs.stat_stages WHERE stage = 'wait for turn'"
    before = c.value(1, query)
    c.run(1, statement)
    return c.value(1, query) - before


@suite.test
def json_that_was_never_parsed(c):
    """It takes no stack to build what takes others more than they have to read: its origin executes it as they do. Flat json does not pay for that."""
    c.run(1, "CREATE TABLE built (id int PRIMARY KEY, j json, js json[], b jsonb)")
    c.settle()

    def built(depth, column, value_):
        return (f"DO $$ DECLARE j json := '1'; BEGIN FOR i IN 1..{depth} LOOP j := json_build_array(j); END LOOP; "
                f"INSERT INTO built (id, {column}) VALUES ((SELECT count(*) FROM built) + 1, {value_}); END $$")
    wide = "SELECT json_agg(jsonb_build_object('[[[[', '{\"')) FROM generate_series(1, 6000)"
    equal(turns(c, f"INSERT INTO built (id, j) VALUES (0, ({wide}))"), 1, "wide json")
    equal(turns(c, f"INSERT INTO built (id, b) VALUES (-1, ({wide})::jsonb)"), 1, "wide jsonb")
    equal(turns(c, built(100, "js", "ARRAY[j]")), 1, "an array of short json")
    equal(turns(c, built(5100, "j", "j")), 0, "json that is nested deep")
    equal(turns(c, built(5100, "b", "j::jsonb")), 0, "jsonb that is nested deep")
    equal(turns(c, built(5100, "js", "ARRAY[j]")), 0, "an array of long json")
    if LONG:  # a minute to build, and more stack than anybody has to read
        equal(sqlstate(lambda: c.run(1, "SET dadbs.commit_timeout = '5min'", built(130_000, "j", "j"))), "54001", "more than can be read")
    c.settle()
    seen = {c.value(i, "SELECT md5(string_agg(format('%s %s %s %s', id, j, js, b), ' ' ORDER BY id)) FROM built") for i in c.members()}
    equal(len(seen), 1, "contents")


@suite.test
def values_that_come_compressed(c):
    """From another table or an older version of the row: indexes and rows take them as they are, and the others would have them plain."""
    columns = [f"c{k}" for k in range(1, 9)]
    texts = ", ".join(f"repeat('{letter}', 400) {name}" for letter, name in zip("abcdefgh", columns))
    c.run(1, "CREATE TABLE plain (id int PRIMARY KEY, b text)", "ALTER TABLE plain ALTER b SET STORAGE PLAIN",
          "CREATE TABLE outside (id int PRIMARY KEY, b text)", "ALTER TABLE outside ALTER b SET STORAGE EXTERNAL", "CREATE INDEX ON outside (b)",
          "CREATE TABLE later (id int PRIMARY KEY, b text)", "ALTER TABLE later ALTER b SET STORAGE EXTERNAL",
          f"CREATE TABLE wide (id int PRIMARY KEY, n int, {' text, '.join(columns)} text)", f"CREATE INDEX ON wide ({', '.join(columns)})",
          f"CREATE TABLE stored (id int PRIMARY KEY, n int, {' text, '.join(columns)} text)", f"INSERT INTO stored SELECT 1, 0, {texts}",
          f"CREATE INDEX ON stored ({', '.join(columns)})", "CREATE INDEX ON stored (n)", "CREATE TABLE documents (id int PRIMARY KEY, n int, body text, short text)")
    c.settle()
    for i in (1, 3):
        source = ("CREATE TEMP TABLE source AS SELECT repeat('x', 100000) b", f"CREATE TEMP TABLE sources AS SELECT {texts}")
        for statement in ("INSERT INTO plain SELECT 1, b FROM source", "INSERT INTO outside SELECT 1, b FROM source", "INSERT INTO wide SELECT 1, 0, * FROM sources",
                          "UPDATE stored SET n = 1 WHERE id = 1"):
            equal(sqlstate(lambda: c.run(i, *source, statement)), "54000", f"{statement} on member {i}")
    c.run(2, "CREATE TEMP TABLE source AS SELECT repeat('x', 100000) b", "INSERT INTO later SELECT 1, b FROM source")
    equal({sqlstate(lambda i=i: c.run(i, "CREATE INDEX ON later (b)")) for i in c.members()}, {"54000"}, "a definition that meets it later")
    # What the row's own size makes of plain values is the same everywhere, and does not cost the origin anything.
    equal(turns(c, "INSERT INTO documents VALUES (1, 0, repeat('a document ', 500), 'x'), (2, 0, (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 1000) g), 'y')"), 1, "documents")
    c.run(1, "UPDATE documents SET n = 1")
    c.settle()
    sizes = {str(c.run(i, "SELECT id, n, md5(body), pg_column_size(body) FROM documents ORDER BY 1")) for i in c.members()}
    equal(len(sizes), 1, f"how they are stored: {sizes}")
    equal({c.value(i, "SELECT pg_column_size(b) FROM later") for i in c.members()}, {100000}, "how it is stored")


@suite.test
def toast_changed_and_unchanged(c):
    c.run(1, "CREATE TABLE toast (id int PRIMARY KEY, big text, other int)",
          "ALTER TABLE toast ALTER COLUMN big SET STORAGE EXTERNAL")
    c.settle()
    c.run(2, "INSERT INTO toast SELECT 1, string_agg(md5(g::text), ''), 0 FROM generate_series(1, 3000) g")
    c.settle()
    c.run(3, "UPDATE toast SET other = 1 WHERE id = 1")
    c.settle()
    c.run(4, "UPDATE toast SET id = 2 WHERE id = 1")
    c.settle()
    for i in c.members():
        equal(c.run(i, "SELECT id, other, length(big) FROM toast"), [(2, 1, 96000)], f"on member {i}")


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


@suite.test
def ten_megabytes(c):
    c.run(1, "CREATE TABLE large (id int PRIMARY KEY, v bytea)")
    c.settle()
    c.run(2, "INSERT INTO large VALUES (1, (SELECT string_agg(sha256(g::text::bytea), '') FROM generate_series(1, 330000) g))")
    c.settle(60)
    for i in c.members():
        check(c.value(i, "SELECT length(v) FROM large") > 10_000_000, "length")


if __name__ == "__main__":
    suite.main()
