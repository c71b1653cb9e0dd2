-- NOT NULL, CHECK, domains, generated columns, unique and exclusion constraints, partitions.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE checked (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), m int);
INSERT INTO checked VALUES (1, 1, -1);
ALTER TABLE checked ADD CONSTRAINT late CHECK (m > 0) NOT VALID;
SELECT rt.try(rt.ins(ROW(2, 0, 1)::checked)), rt.try(rt.ins(ROW(2, NULL, 1)::checked)),
       rt.try(rt.ins(ROW(2, 1, 0)::checked)), rt.try(rt.ins(ROW(2, 2, 2)::checked));
-- Postgres checks a NOT VALID constraint on every update
SELECT rt.try(rt.upd(c, ROW(1, 5, -1)::checked)) FROM checked c WHERE id = 1;
-- domains: what an update leaves alone is not checked again
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN wanted AS text NOT NULL;
CREATE DOMAIN positives AS positive[] CHECK (cardinality(VALUE) < 4);
CREATE TABLE domains (id int PRIMARY KEY, p positive, w wanted, a positives, other text);
INSERT INTO domains VALUES (1, 1, 'w', '{1,2}', 'x');
ALTER DOMAIN positive DROP CONSTRAINT positive_check;
INSERT INTO domains VALUES (2, -1, 'w', NULL, 'x');
ALTER DOMAIN positive ADD CONSTRAINT positive_check CHECK (VALUE > 0) NOT VALID;
SELECT rt.try(rt.upd(d, ROW(2, -1, 'w', NULL, 'y')::domains)) FROM domains d WHERE id = 2;
CREATE TEMP TABLE bad AS SELECT rt.change('I', NULL::record, x) AS change FROM
    (SELECT id + 1 AS id, p, w, a, other FROM domains WHERE id = 2) y, LATERAL (SELECT ROW(y.*)::domains) z(x);
SELECT rt.try(change) FROM bad;
SELECT rt.needs_replay('domains');
SELECT id, p, w, a, other FROM domains ORDER BY id;
-- generated columns: computed and compared, stale ones kept
CREATE FUNCTION total(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $1 + $2; END $$;
CREATE TABLE generated (id int PRIMARY KEY, a int, b int, sum int GENERATED ALWAYS AS (total(a, b)) STORED, other text);
INSERT INTO generated VALUES (1, 1, 2), (2, 2, 2);
SELECT rt.try(rt.ins(ROW(3, 1, 1, 2, NULL)::generated)), rt.try(rt.ins(ROW(4, 1, 1, 3, NULL)::generated));
SELECT rt.try(rt.upd(g, ROW(1, 5, 2, 7, NULL)::generated)), rt.try(rt.upd(g, ROW(1, 6, 2, 7, NULL)::generated))
    FROM generated g WHERE id = 1;
CREATE OR REPLACE FUNCTION total(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $1 - $2; END $$;
SELECT rt.try(rt.upd(g, ROW(2, 2, 2, 4, 'stale')::generated)) FROM generated g WHERE id = 2;
SELECT rt.try(rt.upd(g, ROW(2, 3, 2, 5, 'stale')::generated)) FROM generated g WHERE id = 2;
SELECT rt.try(rt.upd(g, ROW(2, 3, 2, 1, 'new')::generated)) FROM generated g WHERE id = 2;
SELECT rt.try(rt.upd(g, ROW(3, 1, 1, 0, 'same')::generated)) FROM generated g WHERE id = 3;
SELECT rt.try(rt.upd(g, ROW(3, 1, 1, 9, 'liar')::generated)) FROM generated g WHERE id = 3;
SELECT id, a, b, sum, other FROM generated ORDER BY id;
-- deferrable unique: id = id + 1 passes, a duplicate that stays does not, whatever the origin's mode was
CREATE TABLE deferred (id int UNIQUE DEFERRABLE, k int PRIMARY KEY);
INSERT INTO deferred SELECT i, i FROM generate_series(1, 5) i;
SELECT rt.try(VARIADIC array_agg(rt.upd(d, ROW(d.id + 1, d.k)::deferred) ORDER BY k)) FROM deferred d;
SELECT rt.try(rt.upd(d, ROW(3, d.k)::deferred)) FROM deferred d WHERE k = 1;
SELECT rt.try(rt.ins(ROW(3, 9)::deferred)), rt.try(rt.ins(ROW(3, 9)::deferred), rt.del(ROW(3, 9)::deferred)),
       rt.try(rt.ins(ROW(3, 9)::deferred), rt.upd(ROW(3, 9)::deferred, ROW(33, 9)::deferred));
TABLE deferred ORDER BY k;
-- partial, expression, NULLS NOT DISTINCT
CREATE TABLE indexed (id int PRIMARY KEY, a int, b text, c int UNIQUE NULLS NOT DISTINCT);
CREATE UNIQUE INDEX ON indexed (a) WHERE b = 'x';
CREATE UNIQUE INDEX ON indexed (lower(b));
INSERT INTO indexed VALUES (1, 1, 'x', NULL);
SELECT rt.try(rt.ins(ROW(2, 1, 'y', 1)::indexed)), rt.try(rt.ins(ROW(3, 1, 'X', 2)::indexed)),
       rt.try(rt.ins(ROW(3, 2, 'z', NULL)::indexed)), rt.try(rt.upd(ROW(2, 1, 'y', 1)::indexed, ROW(2, 1, 'x', 1)::indexed));
SELECT rt.needs_replay('indexed');
-- exclusion constraints, immediate and deferred
CREATE TABLE booked (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));
CREATE TABLE booked_late (id int PRIMARY KEY, during int4range,
    EXCLUDE USING gist (during WITH &&) DEFERRABLE INITIALLY DEFERRED);
SELECT rt.try(rt.ins(ROW(1, '[1,5)')::booked), rt.ins(ROW(2, '[5,9)')::booked)), rt.try(rt.ins(ROW(3, '[8,12)')::booked));
SELECT rt.try(rt.ins(ROW(1, '[1,5)')::booked_late), rt.ins(ROW(2, '[4,9)')::booked_late),
              rt.upd(ROW(1, '[1,5)')::booked_late, ROW(1, '[1,4)')::booked_late)),
       rt.try(rt.ins(ROW(3, '[8,12)')::booked_late));
-- partitions: leaves are named; what does not belong there is refused
CREATE TABLE parts (id int, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us (note text, region text NOT NULL, id int NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_us FOR VALUES IN ('us');
SELECT rt.try(rt.ins(ROW(1, 'eu', 'x')::parts_eu), rt.ins(ROW('y', 'us', 2)::parts_us)),
       rt.try(rt.ins(ROW(3, 'us', 'x')::parts_eu)), rt.try(rt.ins(ROW(3, 'us', 'x')::parts)),
       rt.try(rt.del(ROW(1, 'eu', 'x')::parts_eu), rt.ins(ROW('moved', 'us', 1)::parts_us));
SELECT tableoid::regclass, * FROM parts ORDER BY id;
-- expressions that read or write tables are refused; user-defined functions mean replay
CREATE FUNCTION count_rows(int) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM checked); END $$;
CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 2 * $1; END $$;
CREATE TABLE reading (id int PRIMARY KEY CHECK (count_rows(id) < 100));
CREATE TABLE calling (id int PRIMARY KEY CHECK (twice(id) < 100));
SELECT rt.try(rt.ins(ROW(1)::reading)), rt.try(rt.ins(ROW(1)::calling)), rt.try(rt.ins(ROW(50)::calling));
-- what claims to be this member's own failure is a verdict (H25)
CREATE FUNCTION claims(code int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF code = 1 THEN RAISE 'disk full' USING ERRCODE = '53100'; ELSIF code = 2 THEN RAISE 'conflict' USING ERRCODE = '40001';
    ELSIF code = 3 THEN RETURN claims(code); ELSIF code = 4 THEN RAISE 'plain'; END IF;
    RETURN true;
END $$;
CREATE TABLE claiming (id int PRIMARY KEY CHECK (claims(id)), k int);
CREATE UNIQUE INDEX ON claiming ((claims(k)));
SELECT left(rt.try(rt.ins(ROW(1, 0)::claiming)), 30), left(rt.try(rt.ins(ROW(2, 0)::claiming)), 30), left(rt.try(rt.ins(ROW(3, 0)::claiming)), 30),
       left(rt.try(rt.ins(ROW(4, 0)::claiming)), 30), left(rt.try(rt.ins(ROW(5, 1)::claiming)), 30);
CREATE TABLE wire (id int PRIMARY KEY, j jsonb, k jsonb UNIQUE);
SELECT rt.try(set_byte(c, length(c) - 2, 9)), rt.try(set_byte(c, length(c) - 9, 9)) FROM (SELECT rt.ins(ROW(1, '1', '2')::wire)) x(c);
DROP TABLE claiming, wire;
DROP FUNCTION claims(int);
CREATE TABLE zoned (ts timestamptz, d date, id int PRIMARY KEY, CHECK (ts::date = d));
CREATE TABLE floating (f float8 PRIMARY KEY CHECK (length(f::text) < 5));
CREATE TABLE named (t text PRIMARY KEY CHECK (t = upper(t) AND t <> current_user));
CREATE TABLE referring (id int PRIMARY KEY, r regclass, a regtype[]);
SELECT rt.try(rt.ins(ROW(1, 'pg_class', NULL)::referring)), rt.try(rt.ins(ROW(2, 'checked', NULL)::referring)),
       rt.try(rt.ins(ROW(3, NULL, '{int4}')::referring));
CREATE TABLE simple (t text PRIMARY KEY CHECK (t = upper(t) AND length(t) < 10));
SELECT t, rt.needs_replay(t) FROM unnest('{reading,calling,zoned,floating,named,referring,simple,checked,parts_eu,generated}'::regclass[]) t;
SELECT t, rt.is_shared(t) FROM unnest('{simple,simple_pkey,parts,pg_class,counted_local}'::text[]) x, to_regclass(x) t;
DROP TABLE checked, domains, generated, deferred, indexed, booked, booked_late, parts, reading, calling, zoned,
    floating, named, referring, simple;
DROP FUNCTION count_rows(int), twice(int), total(int, int);
DROP DOMAIN positives, positive, wanted;
