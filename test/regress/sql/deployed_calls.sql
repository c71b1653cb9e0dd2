-- Calls of contracts: by function and by procedure; what they return, what they refuse.
\set VERBOSITY default
CREATE TABLE call_t (id int PRIMARY KEY, v numeric);
INSERT INTO call_t VALUES (1, 10);
SET dadbs.deploy_unchecked = on;
SELECT dadbs.deploy_contract('add_v', $$DECLARE r numeric; BEGIN
  UPDATE call_t SET v = v + more WHERE id = which RETURNING v INTO STRICT r;
  IF r < 0 THEN RAISE EXCEPTION 'below zero: %', r USING ERRCODE = 'check_violation', DETAIL = 'd', HINT = 'h'; END IF;
  RETURN r; END$$, arguments => 'which int, more numeric', returns => 'numeric');
SELECT dadbs.deploy_contract('tick', $$BEGIN UPDATE call_t SET v = v + 1; END$$, arguments => '');
SELECT dadbs.deploy_contract('maybe', 'SELECT nullif(a, 0)', 'sql', 'a int', 'int');
SELECT name, kind, arguments, returns FROM dadbs.contracts WHERE name IN ('add_v', 'tick') ORDER BY name;
\df contracts.*
SELECT dadbs.call_contract('add_v', 1, 2.50);
SELECT dadbs.call_contract('add_v', 1, 1) AS total;
SELECT * FROM dadbs.call_contract('add_v', 1, '0.5');
CALL contracts.add_v(1, 1);
CALL contracts.add_v(more => 1, which => 1);
SELECT dadbs.call_contract('tick');
CALL contracts.tick();
SELECT dadbs.call_contracts('[["add_v", 1, -1], ["tick"], ["maybe", null], ["maybe", "7"], ["add_v", 1, 0]]');
TABLE call_t;
SELECT dadbs.last_transaction_id() IS NOT NULL, dadbs.transaction_status(dadbs.last_transaction_id());
-- What a contract raises is the caller's error
SELECT dadbs.call_contract('add_v', 1, -1000);
CALL contracts.add_v(1, -1000);
SELECT dadbs.call_contract('add_v', 2, 1);
-- All calls of a batch, or none
SELECT dadbs.call_contracts('[["add_v", 1, 1000], ["add_v", 1, -2000]]');
TABLE call_t;
-- Arguments
SELECT dadbs.call_contract('add_v', 1);
SELECT dadbs.call_contract('add_v', 1, now());
SELECT dadbs.call_contract('add_v', 1, 'x');
SELECT dadbs.call_contract('add_v', VARIADIC ARRAY[1, 2]);
SELECT dadbs.call_contract('nobody', 1);
SELECT dadbs.call_contract(NULL, 1);
SELECT dadbs.call_contracts('[]');
SELECT dadbs.call_contracts('{"add_v": 1}');
SELECT dadbs.call_contracts('[["add_v", 1, 1], 7]');
SELECT dadbs.call_contracts('[[1]]');
SELECT dadbs.deploy_contract('of_trigger', 'BEGIN RETURN NULL; END');
SELECT dadbs.call_contract('of_trigger');
-- Alone
BEGIN;
SELECT dadbs.call_contract('tick');
ROLLBACK;
SELECT dadbs.call_contract('tick'), 1;
SELECT dadbs.call_contract('tick') || 'x';
SELECT dadbs.call_contract('tick') FROM call_t;
DO $$BEGIN CALL contracts.tick(); END$$;
SET default_transaction_read_only = on;
CALL contracts.tick();
RESET default_transaction_read_only;
-- The schema of the procedures is dadbs's
CREATE PROCEDURE contracts.other() LANGUAGE sql AS 'SELECT 1';
ALTER PROCEDURE contracts.tick() RENAME TO tock;
DROP PROCEDURE contracts.tick;
CREATE TABLE contracts.call_t (id int PRIMARY KEY);
-- Who may
CREATE ROLE call_user;
SET ROLE call_user;
CALL contracts.tick();
SELECT dadbs.call_contract('tick');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE contracts.tick TO call_user;
SET ROLE call_user;
CALL contracts.tick();
RESET ROLE;
-- The same interface keeps it, another one does not
SELECT dadbs.deploy_contract('tick', $$BEGIN UPDATE call_t SET v = v + 2; END$$, arguments => '');
SELECT has_function_privilege('call_user', 'contracts.tick()', 'EXECUTE');
SELECT dadbs.deploy_contract('tick', $$SELECT 'tock'$$, 'sql', '', 'text');
SELECT has_function_privilege('call_user', 'contracts.tick(text)', 'EXECUTE'), has_function_privilege('public', 'contracts.tick(text)', 'EXECUTE');
CALL contracts.tick();
SELECT dadbs.deploy_contract('tick', 'BEGIN RETURN NULL; END');
\df contracts.tick
SELECT dadbs.deploy_contract('args', 'SELECT result', 'sql', 'result int', 'int');
CALL contracts.args(4);
BEGIN;
SELECT dadbs.drop_contract('args');
ROLLBACK;
CALL contracts.args(5);
SELECT dadbs.drop_contract('args');
CALL contracts.args(5);
-- History
SELECT version, called, runs, statements, verdict, sqlstate, message, result FROM dadbs.contract_history('add_v');
SELECT statement FROM dadbs.changes WHERE operation = 'CALL' AND statement LIKE 'add_v%' ORDER BY height, position, ordinal;
SELECT contract, operation, new_row FROM dadbs.contract_changes WHERE relation = 'public.call_t' ORDER BY height, position, ordinal LIMIT 3;
SELECT * FROM dadbs.verify_chain();
-- Signed: key and signature must have their lengths; a wrong signature is a verdict
SELECT dadbs.call_contract_signed('add_v', 'abc', 'n', 'def', 1, 1);
SELECT dadbs.call_contract_signed('add_v', decode(repeat('11', 32), 'hex'), '', decode(repeat('22', 64), 'hex'), 1, 1);
SELECT dadbs.call_contract_signed('add_v', decode(repeat('11', 32), 'hex'), 'n', decode(repeat('22', 64), 'hex'), 1, 1);
SELECT length(dadbs.call_message('add_v', 'n', 1, 1)), length(dadbs.call_message('maybe', 'nonce', NULL));
SELECT dadbs.caller_key();
SELECT dadbs.drop_contract('add_v'), dadbs.drop_contract('tick'), dadbs.drop_contract('of_trigger'), dadbs.drop_contract('maybe');
DROP TABLE call_t;
