-- Definitions that are shared: alone, inside transactions, inside functions. What they leave, and who owns it.
CREATE SCHEMA ddl;
SET search_path = ddl;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (id serial PRIMARY KEY, m mood DEFAULT 'ok', n positive, p pair, at timestamptz DEFAULT now());
INSERT INTO t (n, p) VALUES (1, (1, 'x')), (2, NULL);
ALTER TYPE mood ADD VALUE 'happy';
UPDATE t SET m = 'happy' WHERE id = 1;
CREATE VIEW v AS SELECT id, n * 2 AS twice FROM t;
CREATE FUNCTION inc(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
CREATE INDEX t_inc ON t (inc(n));
COMMENT ON TABLE t IS 'hello';
ALTER TABLE t ADD COLUMN c text DEFAULT 'x' NOT NULL, ADD COLUMN since timestamptz DEFAULT now();
ALTER TABLE t RENAME COLUMN c TO cc;
ALTER TABLE t ALTER COLUMN n TYPE bigint;
SELECT id, m, n, p, cc, since IS NOT NULL AS filled FROM t ORDER BY id;
SELECT count(DISTINCT since) FROM t;
SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner) FROM pg_class c WHERE relnamespace = 'ddl'::regnamespace ORDER BY 1;
-- COMMENT and what changes nothing write no definition
SELECT dadbs.block_count() AS before \gset
CREATE TABLE IF NOT EXISTS t (a int);
DROP TABLE IF EXISTS nothing_here;
CREATE SCHEMA IF NOT EXISTS ddl;
SELECT dadbs.block_count() - :before AS blocks;
COMMENT ON COLUMN t.n IS 'positive';
SELECT octet_length(keys) FROM dadbs_internal.transaction ORDER BY height DESC, index DESC LIMIT 1;

-- the replica identity follows the keys
CREATE TABLE x (a int, b int);
CREATE UNIQUE INDEX x_a ON x (a);
SELECT relreplident FROM pg_class WHERE oid = 'x'::regclass;
ALTER TABLE x ALTER a SET NOT NULL;
SELECT relreplident FROM pg_class WHERE oid = 'x'::regclass;
ALTER TABLE x ADD PRIMARY KEY (b);
SELECT relreplident FROM pg_class WHERE oid = 'x'::regclass;
INSERT INTO x VALUES (1, 2);
UPDATE x SET a = 3;
DROP INDEX x_a;
DROP TABLE x, nothing_here;
DROP TABLE IF EXISTS x, nothing_here;

-- in one transaction with rows
BEGIN;
CREATE TABLE b1 (a int PRIMARY KEY);
INSERT INTO b1 VALUES (1);
SAVEPOINT s;
ALTER TABLE b1 ADD COLUMN lost int;
ROLLBACK TO s;
ALTER TABLE b1 ADD COLUMN z int DEFAULT 7;
INSERT INTO b1 VALUES (2, 3);
CREATE INDEX ON b1 (z);
COMMIT;
SELECT * FROM b1 ORDER BY a;
BEGIN;
CREATE TABLE b2 (a int);
ROLLBACK;
SELECT to_regclass('b2');
DO $$ BEGIN
  CREATE TABLE b3 (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text);
  INSERT INTO b3 (t) VALUES ('q');
END $$;
SELECT * FROM b3;
INSERT INTO b3 (t) VALUES ('r') RETURNING id;
CREATE PROCEDURE make_table() LANGUAGE plpgsql AS 'BEGIN CREATE TABLE made (a int PRIMARY KEY); COMMIT; DROP TABLE made; END';
SET dadbs.run_shared_code = on;
CALL make_table();
RESET dadbs.run_shared_code;
SELECT to_regclass('made');

-- temporary objects are the session's own, and hide shared ones
CREATE TEMPORARY TABLE t (a int, m mood);
INSERT INTO t VALUES (1, 'sad');
ALTER TABLE t ADD COLUMN b int;
DROP TABLE t, b1;
DROP TABLE t;
SELECT count(*) FROM t;
CREATE TEMPORARY TABLE k AS SELECT * FROM t;
SELECT count(*) FROM k;
-- a shared type goes with the temporary column that used it
CREATE TYPE short_lived AS ENUM ('a');
CREATE TEMPORARY TABLE uses (a int, s short_lived);
DROP TYPE short_lived;
SELECT attname FROM pg_attribute WHERE attrelid = 'uses'::regclass AND attnum > 0 AND NOT attisdropped;

-- settings that change the meaning of the text travel with it
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET TimeZone = 'Asia/Tokyo';
CREATE TABLE settings (a text DEFAULT 'x\ty', at timestamptz DEFAULT '2020-01-01 00:00');
RESET standard_conforming_strings;
RESET TimeZone;
SET TimeZone = 'UTC';
SELECT column_name, column_default FROM information_schema.columns
WHERE table_schema = 'ddl' AND table_name = 'settings' ORDER BY 1;
RESET TimeZone;

DROP SCHEMA ddl CASCADE;
SELECT dadbs.verify_chain();
