-- Inserts, updates, deletes; keys; what a liar may send.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE plain (id int PRIMARY KEY, name text, amount numeric, big text);
INSERT INTO plain VALUES (1, 'one', 1.0, NULL), (2, 'two', 2.00, NULL);
SELECT rt.try(rt.ins(r)) FROM (SELECT ROW(3, 'three', 3.000, NULL)::plain AS r) x;
SELECT rt.try(rt.upd(p, ROW(1, 'uno', 1.00, NULL)::plain)) FROM plain p WHERE id = 1;
SELECT rt.try(rt.upd(p, ROW(20, 'veinte', p.amount, NULL)::plain)) FROM plain p WHERE id = 2;
SELECT rt.try(rt.del(p)) FROM plain p WHERE id = 3;
TABLE plain ORDER BY id;
-- not here
SELECT rt.try(rt.del(ROW(99, NULL, NULL, NULL)::plain));
SELECT rt.try(rt.upd(ROW(99, NULL, NULL, NULL)::plain, ROW(99, 'x', NULL, NULL)::plain));
SELECT rt.try(rt.ins(ROW(1, 'dup', NULL, NULL)::plain));
SELECT rt.try(rt.ins(ROW(NULL, 'null', NULL, NULL)::plain));
-- several changes of one row in a write set
SELECT rt.try(rt.ins(ROW(5, 'a', 1, NULL)::plain), rt.upd(ROW(5, 'a', 1, NULL)::plain, ROW(6, 'b', 2, NULL)::plain),
              rt.upd(ROW(6, 'b', 2, NULL)::plain, ROW(6, 'c', 3, NULL)::plain), rt.ins(ROW(5, 'again', 1, NULL)::plain),
              rt.del(ROW(6, 'c', 3, NULL)::plain));
TABLE plain ORDER BY id;
-- a large value: inserted, kept by an update that does not name it, changed
SELECT rt.try(rt.ins(ROW(7, 'big', 1, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 320000) i))::plain));
SELECT length(big), md5(big) FROM plain WHERE id = 7;
SELECT rt.try(rt.change('U', p, ROW(7, 'still big', 2, p.big)::plain, 'big')) FROM plain p WHERE id = 7;
SELECT name, length(big), md5(big) FROM plain WHERE id = 7;
SELECT rt.try(rt.upd(p, ROW(7, 'smaller', 2, repeat('x', 100000))::plain)) FROM plain p WHERE id = 7;
SELECT name, length(big) FROM plain WHERE id = 7;
-- dropped and added columns
ALTER TABLE plain DROP COLUMN amount;
ALTER TABLE plain ADD COLUMN extra int DEFAULT 42;
SELECT rt.try(rt.upd(p, ROW(1, 'with extra', NULL, 43)::plain)) FROM plain p WHERE id = 1;
SELECT rt.try(rt.ins(ROW(9, 'nine', 'b', 9)::plain));
SELECT id, name, extra FROM plain ORDER BY id;
-- other columns, other relations
CREATE TEMP TABLE before AS SELECT rt.ins(ROW(10, 'x', 'b', 9)::plain) AS change;
ALTER TABLE plain ADD COLUMN more int;
SELECT rt.try(change) FROM before;
CREATE TABLE gone (id int PRIMARY KEY);
CREATE TEMP TABLE before_drop AS SELECT rt.ins(ROW(1)::gone) AS change;
DROP TABLE gone;
SELECT rt.try(change) FROM before_drop;
CREATE TEMP TABLE own (id int PRIMARY KEY);
SELECT rt.try(rt.change('I', NULL::record, ROW(1)::own, NULL, 'dadbs_internal'));
SELECT rt.try(rt.change('I', NULL::record, ROW(1)::own, NULL, 'pg_catalog'));
SELECT rt.try('\x00'), rt.try('\x49ff');
-- no key: inserts only
CREATE TABLE keyless (a int, b text);
SELECT rt.try(rt.ins(ROW(1, 'x')::keyless));
SELECT rt.try(rt.del(ROW(1, 'x')::keyless));
UPDATE keyless SET b = 'y';
DELETE FROM keyless;
WITH w AS (DELETE FROM keyless RETURNING a) SELECT * FROM w;
MERGE INTO keyless k USING (VALUES (1)) v(a) ON k.a = v.a WHEN MATCHED THEN DELETE;
ALTER TABLE keyless REPLICA IDENTITY FULL;
DELETE FROM keyless;
-- replica identity
CREATE TABLE identity (a int NOT NULL, b int NOT NULL, c int, d int NOT NULL);
SELECT rt.wanted_identity('identity');
CREATE UNIQUE INDEX identity_c ON identity (c);
CREATE UNIQUE INDEX identity_partial ON identity (a) WHERE b > 0;
CREATE UNIQUE INDEX identity_expression ON identity ((a + b));
SELECT rt.wanted_identity('identity');
CREATE UNIQUE INDEX identity_z ON identity (a, b);
CREATE UNIQUE INDEX identity_y ON identity (d);
SELECT rt.wanted_identity('identity');
ALTER TABLE identity REPLICA IDENTITY USING INDEX identity_y;
SELECT rt.wanted_identity('identity');
INSERT INTO identity VALUES (1, 1, 1, 1), (2, 2, 2, 2);
SELECT rt.try(rt.upd(i, ROW(10, 10, 10, 1)::identity)) FROM identity i WHERE d = 1;
SELECT rt.try(rt.upd(i, ROW(10, 10, 10, 11)::identity)) FROM identity i WHERE d = 1;
SELECT rt.try(rt.del(i)) FROM identity i WHERE d = 2;
TABLE identity;
ALTER TABLE identity ADD PRIMARY KEY (a);
SELECT rt.wanted_identity('identity');
-- truncate
CREATE TABLE counted (id serial PRIMARY KEY, note text);
INSERT INTO counted (note) VALUES ('a'), ('b'), ('c');
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'truncated'; RETURN NULL; END $$;
CREATE TRIGGER shout AFTER TRUNCATE ON counted EXECUTE FUNCTION shout();
SELECT rt.try(rt.truncate('public', 'counted'), rt.ins(ROW(10, 'x')::counted));
INSERT INTO counted (note) VALUES ('next');
TABLE counted;
SELECT rt.try(rt.truncate('public', 'counted', true));
INSERT INTO counted (note) VALUES ('first');
TABLE counted;
TRUNCATE counted;
SELECT rt.try(rt.sequence('public', 'counted_id_seq', 500), rt.sequence('public', 'counted_id_seq', 400));
INSERT INTO counted (note) VALUES ('after') RETURNING id;
SELECT rt.try(rt.sequence('public', 'counted', 500));
-- identity columns, defaults that are not owned
CREATE SEQUENCE free_seq;
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other bigint DEFAULT nextval('free_seq'),
    down int GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY -1 MAXVALUE 10000 START 10000));
SELECT rt.try(rt.ins(ROW(100, 200, 9000)::numbered), rt.ins(ROW(50, 300, 9500)::numbered));
INSERT INTO numbered DEFAULT VALUES RETURNING id, other, down;
-- triggers do not fire, rules and row security do not apply
CREATE TABLE guarded (id int PRIMARY KEY);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fired'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE CONSTRAINT TRIGGER refuse_late AFTER INSERT ON guarded DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE guarded ENABLE ALWAYS TRIGGER refuse, ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE RULE nothing AS ON INSERT TO guarded DO INSTEAD NOTHING;
CREATE ROLE rt_owner;
ALTER TABLE guarded OWNER TO rt_owner;
SELECT rt.try(rt.ins(ROW(1)::guarded), rt.upd(ROW(1)::guarded, ROW(2)::guarded));
TABLE guarded;
DROP TABLE guarded;
DROP ROLE rt_owner;
-- bytes of a liar: a NULL in the old key hides the column behind it, which the row says is unchanged
CREATE TABLE pair (a text, b text, PRIMARY KEY (a, b));
SELECT count(*) > 0 FROM rt.keys(rt.change('U', ROW(NULL, 'y')::pair, ROW('x', 'y')::pair, 'b'));
SELECT rt.try(rt.change('U', ROW(NULL, 'y')::pair, ROW('x', 'y')::pair, 'b'));
-- what a receive function calls an internal error is the value's fault
CREATE TABLE document (id int PRIMARY KEY, j jsonb);
SELECT rt.try(decode(replace(encode(rt.ins(ROW(1, '{}')::document), 'hex'), '017b7d', '027b7d'), 'hex'));
-- and so is the SQLSTATE that somebody's function has chosen
CREATE FUNCTION full_disk(i int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN IF i = 1 THEN RAISE 'full' USING ERRCODE = 'DA005'; END IF; RETURN true; END $$;
CREATE TABLE judged (id int PRIMARY KEY CHECK (full_disk(id)));
SELECT rt.try(rt.ins(ROW(1)::judged)), rt.try(rt.ins(ROW(2)::judged));
DROP TABLE pair, document, judged;
DROP FUNCTION full_disk(int);
DROP TABLE plain, keyless, identity, counted, numbered;
DROP SEQUENCE free_seq;
DROP FUNCTION shout(), refuse();
