-- What the chain knows of ordinary SQL: blocks, transactions, changes. No hashes, pids or times: they differ each run.
CREATE SCHEMA history;
SET search_path = history;
SELECT dadbs.block_count() AS before \gset
CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2), tags text[], doc jsonb);
INSERT INTO item VALUES (1, 'bolt', 1.50, '{a,b}', '{"x": [1, 2]}');
BEGIN;
UPDATE item SET price = 2.00 WHERE id = 1;
INSERT INTO item (id, name) VALUES (2, 'nut');
SAVEPOINT s;
INSERT INTO item (id, name) VALUES (3, 'never');
ROLLBACK TO s;
COMMIT;
UPDATE item SET id = 10 WHERE id = 1;
DELETE FROM item WHERE id = 2;
TRUNCATE item;
ALTER TABLE item ADD COLUMN note text;
INSERT INTO item (id, note) VALUES (4, 'after ALTER');

-- one transaction per statement here, each in a block of its own or shared
SELECT sum(transaction_count) AS transactions FROM dadbs.blocks WHERE height > :before;
SELECT count(*) = dadbs.block_count() AS one_row_per_block FROM dadbs.blocks;
SELECT bool_and(b.previous_hash = p.hash) AS linked FROM dadbs.blocks b JOIN dadbs.blocks p ON p.height = b.height - 1;
SELECT bool_and(b.time > p.time) AS times_rise FROM dadbs.blocks b JOIN dadbs.blocks p ON p.height = b.height - 1;
SELECT DISTINCT proposer, view, epoch, signers FROM dadbs.blocks;

SELECT origin, sql_user, verdict, change_count, is_ddl, sqlstate
FROM dadbs.transactions WHERE height > :before ORDER BY height, position;
SELECT relation, operation, key, new_row, statement
FROM dadbs.changes WHERE height > :before AND operation <> 'DDL' ORDER BY height, position, ordinal;
SELECT operation, statement FROM dadbs.changes WHERE height > :before AND operation = 'DDL' ORDER BY height, position, ordinal;
SELECT DISTINCT sql_user, application_name FROM dadbs.changes WHERE relation = 'history.item';

-- reads, rolled-back writes, temporary and local tables leave no trace
SELECT dadbs.block_count() AS before \gset
SELECT count(*) FROM item;
BEGIN;
DELETE FROM item;
ROLLBACK;
CREATE TEMP TABLE scratch (a int);
INSERT INTO scratch VALUES (1);
UPDATE item SET name = name WHERE false;
SELECT dadbs.block_count() = :before AS no_new_block;

SELECT * FROM dadbs.verify_chain();
DROP TABLE item;
RESET search_path;
DROP SCHEMA history;
