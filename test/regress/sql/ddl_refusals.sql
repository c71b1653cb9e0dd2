-- What cannot be shared is refused at once, with a hint, and leaves nothing.
CREATE SCHEMA no;
SET search_path = no;
CREATE TABLE t (id int PRIMARY KEY, v text, at timestamptz);
INSERT INTO t VALUES (1, 'one', '2020-01-01');
CREATE TABLE empty (id int PRIMARY KEY);
CREATE FUNCTION imm(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a';
CREATE FUNCTION vol() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT random()::int';
SELECT dadbs.block_count() AS before \gset

-- by the parse tree: nothing is ordered
GRANT USAGE ON LANGUAGE plpgsql TO dadbs_owner;
GRANT CREATE ON DATABASE shared TO PUBLIC;
CREATE TABLE ctas AS SELECT * FROM t;
SELECT * INTO ctas FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT 1;
EXPLAIN (ANALYZE) CREATE TABLE ctas AS SELECT 1;
CREATE UNLOGGED TABLE ul (a int);
ALTER TABLE t SET UNLOGGED;
ALTER TABLE t REPLICA IDENTITY FULL;
ALTER TABLE t REPLICA IDENTITY NOTHING;
CREATE TABLE child () INHERITS (t);
ALTER TABLE empty INHERIT t;
CREATE TABLE space (a int) TABLESPACE pg_default;
CREATE INDEX ON t (v) TABLESPACE pg_default;
CREATE TABLE am (a int) USING other;
CREATE RULE r AS ON INSERT TO t DO NOTHING;
CREATE EXTENSION hstore;
CREATE FUNCTION c_function() RETURNS int LANGUAGE c AS 'x', 'y';
CREATE FUNCTION internal_function() RETURNS int LANGUAGE internal AS 'int4in';
CREATE FUNCTION sets_role() RETURNS int LANGUAGE sql SET role = 'postgres' AS 'SELECT 1';
ALTER FUNCTION imm(int) LEAKPROOF;
CREATE FOREIGN TABLE ft (a int) SERVER s;
CREATE PUBLICATION p FOR ALL TABLES;
CREATE PUBLICATION p FOR TABLE t;
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION vol();
CREATE COLLATION c (LOCALE = 'C');
CREATE TEXT SEARCH CONFIGURATION c (COPY = english);
CREATE CAST (text AS no.t) WITH INOUT;
CREATE TYPE base;
BEGIN;
CREATE ROLE nobody_role;
ROLLBACK;
BEGIN;
CREATE INDEX CONCURRENTLY ON t (v);
ROLLBACK;
BEGIN READ ONLY;
CREATE TABLE ro (a int);
ROLLBACK;
SET default_transaction_read_only = on;
CREATE TABLE ro (a int);
RESET default_transaction_read_only;
CREATE TABLE p1 (a int) PARTITION BY RANGE (a);
ALTER TABLE p1 DETACH PARTITION p2 CONCURRENTLY;
DROP TABLE p1;
SELECT dadbs.block_count() - :before AS blocks;  -- p1 came and went

-- local and shared in one statement; local objects that stand on shared ones
CREATE TEMPORARY TABLE mine (a int);
DROP TABLE mine, t;
CREATE TEMPORARY VIEW look AS SELECT * FROM t;
CREATE VIEW look AS SELECT * FROM mine;
DROP TABLE mine;

-- in the catalogs, at the position: rolled back on every member
CREATE TABLE bad (at timestamptz CHECK (at < now()));
CREATE TABLE bad (a text CHECK (a <> current_user));
ALTER TABLE t ADD CHECK (at > '2000-01-01'::text::timestamptz);
CREATE DOMAIN bad AS text CHECK (VALUE <> current_setting('TimeZone'));
CREATE TABLE bad (a int GENERATED ALWAYS AS (no.vol()) STORED);
CREATE INDEX ON t (vol());
ALTER TABLE t ADD COLUMN bad int DEFAULT vol();
ALTER TABLE t ADD COLUMN bad bigint DEFAULT txid_current();
ALTER TABLE t ADD COLUMN bad uuid DEFAULT gen_random_uuid();
ALTER TABLE t ADD COLUMN bad text DEFAULT current_user;
ALTER TABLE t ADD COLUMN bad serial;
ALTER TABLE t ADD COLUMN bad int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE t ALTER COLUMN v TYPE float USING random();
ALTER TABLE t ADD COLUMN good int DEFAULT imm(5), ADD COLUMN good2 timestamptz DEFAULT now() + interval '1 day';
ALTER TABLE empty ADD COLUMN u uuid DEFAULT gen_random_uuid(), ADD COLUMN s serial;
CREATE INDEX t_imm ON t (imm(id));
CREATE OR REPLACE FUNCTION imm(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
CREATE TABLE uses_local (a dadbs_internal.role);
ALTER TABLE t OWNER TO nobody_at_all;
GRANT SELECT ON t TO nobody_at_all;
SELECT column_name FROM information_schema.columns WHERE table_schema = 'no' AND table_name = 't' ORDER BY 1;

-- code that came over the chain does not run with a superuser's rights
SELECT imm(1);
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fires BEFORE INSERT ON empty FOR EACH ROW EXECUTE FUNCTION fires();
INSERT INTO empty VALUES (1);
SET dadbs.run_shared_code = on;
SELECT imm(1);
INSERT INTO empty (id) VALUES (1);
RESET dadbs.run_shared_code;
SET ROLE dadbs_owner;
SELECT no.imm(1);
RESET ROLE;

DROP SCHEMA no CASCADE;
SELECT dadbs.verify_chain();
