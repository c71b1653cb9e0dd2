-- Proposals on a cluster of one, which is enough of itself: each is executed as it is made.
\set VERBOSITY default
CREATE TABLE approval_t (id int PRIMARY KEY, v int);
CREATE TABLE approval_log (id int PRIMARY KEY);
SELECT dadbs.propose('ALTER TABLE approval_t ADD COLUMN w int', 'one more') AS first \gset
SELECT p.id - :first AS id, statement, comment, proposed_by, sql_user, role, search_path, height IS NOT NULL AS placed, state, needed,
       approved_by, rejected_by, expires_height - height AS lifetime, sqlstate, message, ended_height = height AS at_once
FROM dadbs.proposals p ORDER BY id;
SELECT v.id - :first AS id, member, approves, reason, sql_user, voted_at IS NOT NULL AS has_time FROM dadbs.proposal_votes v;
\d approval_t
-- Several statements; contracts; TRUNCATE; an error is the proposal's, and nothing of it stays
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''approval_c'', $$BEGIN INSERT INTO approval_log VALUES (NEW.id); RETURN NULL; END$$);
  CREATE TRIGGER c AFTER INSERT ON approval_t FOR EACH ROW EXECUTE FUNCTION dadbs.contract(''approval_c'')') - :first AS id;
INSERT INTO approval_t VALUES (1, 1);
SELECT * FROM approval_log;
SELECT dadbs.propose('TRUNCATE approval_t; TRUNCATE approval_log') - :first AS id;
SELECT count(*) FROM approval_t;
SELECT dadbs.propose('ALTER TABLE approval_t DROP COLUMN w; DROP TABLE approval_nothing') - :first AS id;
SELECT dadbs.propose('SELECT dadbs.drop_contract(''approval_c'')') - :first AS id;
SELECT dadbs.propose('TRUNCATE pg_class') - :first AS id;
SELECT p.id - :first AS id, state, sqlstate, message FROM dadbs.proposals p ORDER BY id;
SELECT statement FROM dadbs.changes WHERE operation = 'PROPOSAL' AND statement LIKE '%approval_nothing%';
-- Votes
SELECT dadbs.approve_proposal(:first);
SELECT dadbs.reject_proposal(:first, 'late');
SELECT dadbs.reject_proposal(:first);
SELECT dadbs.approve_proposal(-1);
SELECT dadbs.approve_proposal(NULL), dadbs.reject_proposal(NULL);
-- What cannot be proposed
SELECT dadbs.propose(NULL);
SELECT dadbs.propose('');
SELECT dadbs.propose('no SQL');
SELECT dadbs.propose('INSERT INTO approval_t VALUES (1)');
SELECT dadbs.propose('SELECT 1');
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''a'', ''b'') FROM approval_t');
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''a'' || ''b'', ''c'')');
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''a'', NULL)');
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''a'', colour => ''c'')');
SELECT dadbs.propose('SELECT dadbs.approve_proposal(1)');
SELECT dadbs.propose('SELECT dadbs.set_contract_statement_limit(10)');
SELECT dadbs.propose('SELECT dadbs.set_contract_statement_limit(''5000'')');
SELECT dadbs.set_contract_statement_limit(10);
SELECT dadbs.set_contract_statement_limit(5000);
SELECT dadbs.contract_statement_limit(), has_table_privilege('pg_monitor', 'dadbs.contract_changes', 'SELECT');
SELECT dadbs.propose('SELECT dadbs.deploy_contract(''approval_x'', ''BEGIN PERFORM random(); RETURN NULL; END'')');
SELECT dadbs.propose('SET search_path = x');
SELECT dadbs.propose('CREATE TABLE x AS SELECT 1');
SELECT dadbs.propose('DROP TABLE approval_t', lifetime => 0);
BEGIN;
SELECT dadbs.propose('DROP TABLE approval_t');
ROLLBACK;
BEGIN READ ONLY;
SELECT dadbs.approve_proposal(1);
ROLLBACK;
-- Two in one statement
SELECT dadbs.propose('DROP TABLE approval_t'), dadbs.propose('DROP TABLE approval_log');
-- Protected tables
SELECT dadbs.protect_table('approval_log');
INSERT INTO approval_log VALUES (5);
UPDATE approval_log SET id = 6;
SET session_replication_role = replica;
INSERT INTO approval_log VALUES (5);
RESET session_replication_role;
TRUNCATE approval_log;
INSERT INTO approval_t VALUES (2, 2);
SELECT * FROM approval_log;
SELECT dadbs.protect_table('approval_log');
SELECT dadbs.protect_table('pg_class');
SELECT dadbs.protect_table('approval_t', '{approval_nothing}');
CREATE TRIGGER p BEFORE INSERT ON approval_t FOR EACH ROW EXECUTE FUNCTION dadbs.protected_table();
CREATE TRIGGER p BEFORE INSERT OR UPDATE OR DELETE ON approval_t FOR EACH ROW WHEN (true) EXECUTE FUNCTION dadbs.protected_table();
SELECT dadbs.protected_table();
SELECT dadbs.propose('DROP TRIGGER dadbs_protected ON approval_log; SELECT dadbs.protect_table(''approval_t'', ''{}'')') - :first AS id;
INSERT INTO approval_log VALUES (5);
DELETE FROM approval_t;
-- Which contracts may write does not depend on when it is approved; the names are those of a name[]
SELECT dadbs.propose('SELECT dadbs.protect_table(''approval_log'')');
SELECT dadbs.propose('SELECT dadbs.protect_table(''approval_log'', ''{a,NULL}'')');
SELECT dadbs.propose('SELECT dadbs.protect_table(''approval_log'', ''a'')');
SELECT dadbs.deploy_contract('Approval "D"', 'BEGIN RETURN NULL; END');
SELECT dadbs.propose('SELECT dadbs.protect_table(''approval_log'', ''{"Approval \"D\"", approval_c}'')') - :first AS id;
SELECT tgargs FROM pg_trigger WHERE tgrelid = 'approval_log'::regclass AND tgname = 'dadbs_protected';
SELECT dadbs.propose('DROP TRIGGER dadbs_protected ON approval_log') - :first AS id;
SELECT dadbs.drop_contract('Approval "D"');
-- ONLY
CREATE TABLE approval_p (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE approval_p1 PARTITION OF approval_p FOR VALUES FROM (0) TO (10);
INSERT INTO approval_p VALUES (1);
SELECT dadbs.propose('TRUNCATE ONLY approval_p') - :first AS id;
SELECT state, message, (SELECT count(*) FROM approval_p) FROM dadbs.proposals ORDER BY id DESC LIMIT 1;
SELECT dadbs.propose('TRUNCATE ONLY approval_p1') - :first AS id;
SELECT state, message, (SELECT count(*) FROM approval_p) FROM dadbs.proposals ORDER BY id DESC LIMIT 1;
DROP TABLE approval_p;
-- Not for everybody
CREATE ROLE approval_nobody;
SET ROLE approval_nobody;
SELECT dadbs.propose('DROP TABLE approval_t');
SELECT dadbs.approve_proposal(1);
SELECT dadbs.reject_proposal(1);
SELECT dadbs.protect_table('approval_t');
RESET ROLE;
DROP ROLE approval_nobody;
-- A contract runs as its owner
CREATE ROLE approval_author;
GRANT CREATE ON SCHEMA contracts TO approval_author;
SET ROLE approval_author;
SELECT dadbs.deploy_contract('approval_authors', 'BEGIN RETURN NULL; END');
RESET ROLE;
DROP ROLE approval_author;
-- Its function is nobody's to change on one member
ALTER FUNCTION dadbs_contract.approval_authors() RENAME TO z;
ALTER FUNCTION dadbs_contract.approval_authors() OWNER TO postgres;
ALTER FUNCTION dadbs_contract.approval_authors() SET SCHEMA public;
DROP FUNCTION dadbs_contract.approval_authors();
SELECT dadbs.drop_contract('approval_authors');
DROP ROLE approval_author;
DROP TABLE approval_t, approval_log;
SELECT dadbs.drop_contract('approval_c');
