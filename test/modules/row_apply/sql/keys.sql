-- Keys: what each change gives, equal hashes for equal values, parents and children meet.
SET client_min_messages = warning;
CREATE VIEW rt.uses AS SELECT n, CASE n WHEN 1 THEN 'existence' WHEN 2 THEN 'content' WHEN 3 THEN 'existence+content'
    WHEN 4 THEN 'reference' WHEN 5 THEN 'existence+reference' ELSE n::text END AS use FROM generate_series(1, 7) n;
CREATE FUNCTION rt.summary(VARIADIC changes bytea[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(list || ' ' || count || ' ' || use, ', ' ORDER BY list, use) FROM
        (SELECT list, use, count(*) FROM rt.keys(VARIADIC changes) k JOIN rt.uses u ON n = uses GROUP BY 1, 2) x $$;
-- do two write sets meet in a row key, one of them writing existence?
CREATE FUNCTION rt.meet(a bytea, b bytea) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM rt.keys(a) x JOIN rt.keys(b) y USING (list, hash)
                   WHERE list = 'row' AND ((x.uses & 1 > 0 AND y.uses & 7 > 0) OR (x.uses & 7 > 0 AND y.uses & 1 > 0))) $$;
CREATE TABLE one (id int PRIMARY KEY, n int);
CREATE TABLE two (id int PRIMARY KEY, u int UNIQUE, n int);
INSERT INTO one VALUES (1, 1);
INSERT INTO two VALUES (1, 10, 1), (2, NULL, 2), (3, 30, 3);
SELECT rt.summary(rt.ins(ROW(2, 2)::one)) AS insert, rt.summary(rt.upd(ROW(1, 1)::one, ROW(1, 2)::one)) AS update,
       rt.summary(rt.upd(ROW(1, 1)::one, ROW(2, 2)::one)) AS rekey, rt.summary(rt.del(ROW(1, 1)::one)) AS delete \gx
SELECT rt.summary(rt.ins(ROW(4, 40, 2)::two)) AS insert, rt.summary(rt.ins(ROW(4, NULL, 2)::two)) AS insert_null,
       rt.summary(rt.upd(ROW(1, 10, 1)::two, ROW(1, 10, 2)::two)) AS update,
       rt.summary(rt.upd(ROW(1, 10, 1)::two, ROW(1, 11, 2)::two)) AS update_unique,
       rt.summary(rt.upd(ROW(1, 10, 1)::two, ROW(5, 10, 2)::two)) AS rekey,
       rt.summary(rt.del(ROW(1, 10, 1)::two)) AS delete, rt.summary(rt.del(ROW(2, NULL, 1)::two)) AS delete_null \gx
-- the old row is followed through the write set
SELECT rt.summary(rt.upd(ROW(1, 10, 1)::two, ROW(9, 10, 1)::two), rt.del(ROW(9, 10, 1)::two)) AS rekeyed_deleted,
       rt.summary(rt.ins(ROW(4, 40, 1)::two), rt.upd(ROW(4, 40, 1)::two, ROW(4, 40, 2)::two)) AS inserted_updated,
       rt.summary(rt.upd(ROW(3, 30, 3)::two, ROW(3, 31, 3)::two), rt.upd(ROW(3, 31, 3)::two, ROW(3, 30, 3)::two)) AS and_back,
       rt.summary(rt.truncate('public', 'two')) AS truncate \gx
-- unknown relations and rows give what they can
SELECT rt.summary(rt.truncate('public', 'nothing')), rt.summary(rt.sequence('public', 'nothing', 1)),
       rt.summary(rt.del(ROW(77, 10, 1)::two));
-- TRUNCATE meets rows; definitions are apart
SELECT rt.meet(rt.truncate('public', 'two'), rt.ins(ROW(4, 40, 2)::two)) AS truncate_meets,
       rt.meet(rt.truncate('public', 'one'), rt.ins(ROW(4, 40, 2)::two)) AS other_table;
-- rows that are not of their table's columns, or of no table, are not for the fast path
CREATE TEMP TABLE earlier AS SELECT rt.ins(ROW(5, 5)::one) AS ins, rt.upd(ROW(1, 1)::one, ROW(1, 2)::one) AS upd, rt.del(ROW(1, 1)::one) AS del;
SELECT rt.fits(ins), rt.fits(upd), rt.fits(del), rt.fits(ins, upd, del) FROM earlier;
ALTER TABLE one ADD COLUMN more int;
SELECT rt.fits(ins), rt.fits(upd), rt.fits(del), rt.fits(rt.ins(ROW(6, 6, 6)::one), ins) FROM earlier;
ALTER TABLE one RENAME TO renamed;
SELECT rt.fits(ins) FROM earlier;
ALTER TABLE renamed RENAME TO one;
ALTER TABLE one DROP COLUMN more;
SELECT rt.fits(ins, upd, del) FROM earlier;
DROP TABLE earlier;
-- parents and children of comparable types
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE address AS (street text, number int, mood mood);
CREATE DOMAIN code AS text;
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION rt.check_types(parent_type text, child_type text, parent_value text, child_value text, other text)
    RETURNS TABLE (parent text, child text, equal_meet boolean, other_meets boolean, duplicate_meets boolean) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL client_min_messages = error;
    DROP TABLE IF EXISTS c, p;
    EXECUTE format('CREATE TABLE p (v %s PRIMARY KEY)', parent_type);
    EXECUTE format('CREATE TABLE c (id int PRIMARY KEY, v %s REFERENCES p)', child_type);
    RETURN QUERY EXECUTE format('SELECT %L::text, %L::text, rt.meet(rt.del(ROW(%3$L)::p), rt.ins(ROW(1, %4$L)::c)),
        rt.meet(rt.del(ROW(%5$L)::p), rt.ins(ROW(1, %4$L)::c)), rt.meet(rt.ins(ROW(%3$L)::p), rt.ins(ROW(%3$L)::p))',
        parent_type, child_type, parent_value, child_value, other);
END $$;
SELECT c.* FROM (VALUES ('bigint', 'smallint', '7', '7', '8'), ('int', 'bigint', '-7', '-7', '7'), ('numeric', 'int', '7.000', '7', '7.001'),
    ('numeric', 'numeric', '1e3', '1000.00', '100'), ('text', 'varchar(10)', 'a', 'a', 'a '), ('text', 'char(5)', 'ab', 'ab', 'ab  '),
    ('char(5)', 'char(9)', 'ab', 'ab  ', 'abc'), ('text', 'name', 'abc', 'abc', 'abd'), ('code', 'text', 'x', 'x', 'y'),
    ('timestamp', 'date', '2020-01-01', '2020-01-01', '2020-01-01 00:00:01'), ('timestamptz', 'timestamptz', 'infinity', 'infinity', '-infinity'),
    ('double precision', 'real', '0.5', '0.5', '0.25'), ('double precision', 'double precision', '0', '-0', '1'),
    ('double precision', 'double precision', 'NaN', 'NaN', '0'), ('uuid', 'uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'), ('boolean', 'boolean', 't', 't', 'f'),
    ('bytea', 'bytea', '\x00ff', '\x00ff', '\x00'), ('inet', 'inet', '10.0.0.1', '10.0.0.1/32', '10.0.0.1/24'), ('inet', 'cidr', '10.0.0.0/8',
     '10.0.0.0/8', '10.0.0.0/9'), ('macaddr', 'macaddr', '08:00:2b:01:02:03', '08002b:010203', '08:00:2b:01:02:04'),
    ('interval', 'interval', '1 day', '24:00:00', '1 month'), ('interval', 'interval', '1 month', '30 days', '31 days'),
    ('time', 'time', '10:00', '10:00:00', '10:01'), ('timetz', 'timetz', '10:00+00', '10:00+00', '10:00+01'), ('money', 'money', '1', '1.00', '2'),
    ('bit(3)', 'bit(3)', '101', '101', '100'), ('varbit', 'varbit', '10', '10', '100'), ('mood', 'mood', 'ok', 'ok', 'sad'),
    ('int[]', 'int[]', '{1,2}', '{1,2}', '{{1,2}}'), ('text[]', 'text[]', '{a,NULL}', '{a,NULL}', '{a,"NULL"}'), ('mood[]', 'mood[]', '{ok}', '{ok}', '{sad}'),
    ('address', 'address', '(x,1,ok)', '(x,1,ok)', '(x,1,sad)'), ('int4range', 'int4range', '[1,5]', '[1,6)', '[1,5)'),
    ('int4multirange', 'int4multirange', '{[1,3),[3,5)}', '{[1,5)}', '{[1,3)}'), ('numrange', 'numrange', '[1,2.0]', '[1.0,2]', '[1,2)'),
    ('jsonb', 'jsonb', '{"a":1,"b":2}', '{"b":2.0,"a":1}', '{"a":1}'), ('pg_lsn', 'pg_lsn', '0/10', '0/10', '0/11'), ('"char"', '"char"', 'x', 'x', 'y'),
    ('oid', 'oid', '4000000000', '4000000000', '1'), ('xid8', 'xid8', '5', '5', '6'), ('regclass', 'regclass', 'pg_class', 'pg_class', 'pg_type'),
    ('tsvector', 'tsvector', '''a'':1', '''a'':1', '''b'':1'),
    ('text COLLATE ignore_case', 'text COLLATE ignore_case', 'abc', 'ABC', 'abd'), ('text COLLATE ignore_case', 'text COLLATE "C"', 'abc', 'ABC', 'abd'))
    v(a, b, c, d, e), rt.check_types(a, b, c, d, e) c;
-- expected: only types without hashes meet others (regclass, tsvector)
-- the leaf and the root meet; names decide, not OIDs
CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE TABLE other_leaf PARTITION OF root FOR VALUES FROM (10) TO (20);
CREATE TABLE of_root (id int PRIMARY KEY, r bigint REFERENCES root);
CREATE TABLE of_leaf (id int PRIMARY KEY, r int REFERENCES leaf);
SELECT rt.meet(rt.del(ROW(1)::leaf), rt.ins(ROW(1, 1)::of_root)), rt.meet(rt.del(ROW(1)::leaf), rt.ins(ROW(1, 1)::of_leaf)),
       rt.meet(rt.del(ROW(1)::leaf), rt.ins(ROW(1, 2)::of_root)), rt.summary(rt.ins(ROW(1, 1)::of_leaf));
CREATE TEMP TABLE noted AS SELECT * FROM rt.keys(rt.ins(ROW(1, 10, 1)::two), rt.ins(ROW(1, 1)::of_root));
DROP TABLE two, of_root;
CREATE TYPE shift AS ENUM ('x');
CREATE TABLE two (id int PRIMARY KEY, u int UNIQUE, n int);
CREATE TABLE of_root (id int PRIMARY KEY, r bigint REFERENCES root);
SELECT count(*) FROM (SELECT * FROM noted EXCEPT SELECT * FROM rt.keys(rt.ins(ROW(1, 10, 1)::two), rt.ins(ROW(1, 1)::of_root))) d;
DROP TABLE one, two, c, p, root, of_root, of_leaf;
DROP TYPE address, mood, shift;
DROP DOMAIN code;
DROP COLLATION ignore_case;
DROP VIEW rt.uses;
