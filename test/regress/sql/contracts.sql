-- Contracts: deployed, replaced and dropped as any transaction.
\set VERBOSITY default
CREATE TABLE contract_t (id int PRIMARY KEY, v int);
SELECT dadbs.deploy_contract('limit_v', $$BEGIN RETURN NULL; END$$);
SELECT name, version, kind, language, arguments, returns, owner, sql_user, origin IS NOT NULL AS has_origin,
       height > 0 AS on_the_chain, deployed_at IS NOT NULL AS has_time, length(hash) FROM dadbs.contracts;
-- A new version; inside a transaction, rolled back with it
SELECT dadbs.deploy_contract('limit_v', $$BEGIN RAISE NOTICE 'second'; RETURN NULL; END$$);
BEGIN;
SELECT dadbs.deploy_contract('limit_v', $$BEGIN RAISE NOTICE 'third'; RETURN NULL; END$$);
SELECT version, height FROM dadbs.contracts;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT dadbs.deploy_contract('gone', $$BEGIN RETURN NULL; END$$);
ROLLBACK TO s;
SELECT dadbs.deploy_contract('add_up', 'SELECT a + b', language => 'sql', arguments => 'a int, b int', returns => 'int');
COMMIT;
SELECT name, version, kind, arguments, returns FROM dadbs.contracts ORDER BY name;
SELECT dadbs.contract_source('limit_v');
SELECT dadbs.contract_source('limit_v', 1);
SELECT dadbs.contract_source('nothing');
SELECT statement FROM dadbs.changes WHERE operation = 'CONTRACT' ORDER BY height, position, ordinal;
SELECT dadbs.drop_contract('add_up');
SELECT name FROM dadbs.contracts;
SELECT name, version, dropped FROM dadbs.contract_versions ORDER BY name, version;
-- A name that was dropped goes on counting
SELECT dadbs.deploy_contract('add_up', 'SELECT 1', 'sql', '', 'int');
SELECT dadbs.drop_contract('add_up');
-- The analysis refuses, and warns
SELECT dadbs.deploy_contract('x', 'BEGIN
  IF random() > 0.5 THEN RAISE EXCEPTION ''x''; END IF;
  RETURN NULL; END');
-- Errors of the members
SET dadbs.deploy_unchecked = on;
SELECT dadbs.drop_contract('add_up');
SELECT dadbs.deploy_contract(NULL, 'x');
SELECT dadbs.deploy_contract('', 'x');
SELECT dadbs.deploy_contract('x', 'BEGIN RETURN NULL; END', 'plpython3u');
SELECT dadbs.deploy_contract('x', 'BEGIN RETURN', 'plpgsql');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', 'OUT a int', 'int');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', 'a int DEFAULT 1', 'int');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', 'a int', 'SETOF int');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', '', 'int SECURITY DEFINER');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', ') RETURNS int LANGUAGE c AS ''x'' --', 'int');
SELECT dadbs.deploy_contract('x', 'SELECT 1', 'sql', 'a int', 'int; DROP TABLE contract_t');
SELECT dadbs.deploy_contract('x', 'BEGIN RETURN NULL; END', arguments => 'a int', returns => 'trigger');
SELECT dadbs.deploy_contract('x', 'BEGIN RETURN NULL; END', options => '{"colour": 1}');
BEGIN READ ONLY;
SELECT dadbs.deploy_contract('x', 'BEGIN RETURN NULL; END');
ROLLBACK;
RESET dadbs.deploy_unchecked;
-- Who may: CREATE on the schema contracts; who may replace: the owner
CREATE ROLE contract_author LOGIN;
SET ROLE contract_author;
SELECT dadbs.deploy_contract('authors', 'BEGIN RETURN NULL; END');
RESET ROLE;
GRANT CREATE ON SCHEMA contracts TO contract_author;
SET ROLE contract_author;
SELECT dadbs.deploy_contract('authors', 'BEGIN RETURN NULL; END');
SELECT dadbs.deploy_contract('limit_v', 'BEGIN RETURN NULL; END');
SELECT dadbs.drop_contract('limit_v');
RESET ROLE;
SELECT name, owner FROM dadbs.contracts ORDER BY name;
SELECT dadbs.drop_contract('authors');
REVOKE CREATE ON SCHEMA contracts FROM contract_author;
DROP ROLE contract_author;
SELECT dadbs.drop_contract('limit_v');
-- Run by triggers
SELECT dadbs.deploy_contract('positive', $$BEGIN
  IF NEW.v < 0 THEN RAISE EXCEPTION 'v is %', NEW.v USING ERRCODE = 'check_violation', HINT = 'more'; END IF;
  RETURN NULL; END$$);
CREATE TRIGGER positive AFTER INSERT OR UPDATE ON contract_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract('positive');
INSERT INTO contract_t VALUES (1, 1);
INSERT INTO contract_t VALUES (2, -1);
\set VERBOSITY sqlstate
UPDATE contract_t SET v = -2;
\set VERBOSITY default
BEGIN; INSERT INTO contract_t VALUES (2, -1); SELECT count(*) FROM contract_t; COMMIT;
TABLE contract_t;
SELECT dadbs.drop_contract('positive');
TRUNCATE contract_t;
CREATE TRIGGER bad AFTER UPDATE OF v ON contract_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract('positive');
CREATE TRIGGER bad BEFORE UPDATE ON contract_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract('positive');
CREATE TRIGGER bad AFTER UPDATE ON contract_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract('nothing');
CREATE TRIGGER bad AFTER UPDATE ON contract_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract();
CREATE TRIGGER bad AFTER UPDATE ON contract_t FOR EACH ROW WHEN (now() > '2020-01-01') EXECUTE FUNCTION dadbs.contract('positive');
CREATE TEMP TABLE contract_temp (a int);
CREATE TRIGGER bad AFTER UPDATE ON contract_temp FOR EACH ROW EXECUTE FUNCTION dadbs.contract('positive');
CREATE CONSTRAINT TRIGGER good AFTER DELETE ON contract_t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dadbs.contract('positive');
BEGIN; ALTER TABLE contract_t ADD w int; UPDATE contract_t SET v = 3; COMMIT;
ALTER TABLE contract_t DISABLE TRIGGER positive;
INSERT INTO contract_t VALUES (2, -1);
SELECT dadbs.block_time();
SELECT dadbs.contract_source('positive') IS NOT NULL AS is_there;
DROP TABLE contract_t;
SELECT dadbs.drop_contract('positive');
CREATE TABLE contract_t (id int);
DROP TABLE contract_t;
SELECT count(*) FROM dadbs.verify_chain();
