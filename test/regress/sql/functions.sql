-- Every function for users, and what it says to bad input.
CREATE TABLE f (id int PRIMARY KEY, v text);
INSERT INTO f VALUES (1, 'one');
SELECT dadbs.last_transaction_id() AS id \gset
SELECT dadbs.transaction_status(:'id');
SELECT id = :'id' AS same, verdict, change_count FROM dadbs.transaction(:'id');
SELECT dadbs.transaction_status('1.1.999999999');
SELECT dadbs.transaction_status('no id');
SELECT dadbs.transaction_status(NULL::text);

BEGIN;
INSERT INTO f VALUES (2, 'two');
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT dadbs.transaction_status((SELECT name FROM dadbs.nodes), :'xid');
SELECT dadbs.transaction_status('nobody', :'xid');

SELECT dadbs.wait_for(dadbs.applied_height());
SELECT dadbs.wait_for(dadbs.applied_height() + 1000, '10 ms');
SELECT dadbs.wait_for(-1);
SELECT dadbs.wait_for(:'id'), dadbs.wait_for(:'id', '1 s');
SELECT dadbs.wait_for('1.1.999999999', '10 ms');

SELECT height = dadbs.block_count() AS last, hash = dadbs.latest_block_hash() AS same_hash FROM dadbs.block(dadbs.block_count());
SELECT count(*) FROM dadbs.block(999999999);
SELECT length(dadbs.genesis()) > 100 AS genesis;
SELECT count(*) = dadbs.block_count() AS all_exported FROM dadbs.export_chain();

-- digests: equal content gives equal digests, whatever its physical order
SELECT dadbs.table_digest('f') AS digest \gset
BEGIN;
DELETE FROM f WHERE id = 1;
INSERT INTO f VALUES (1, 'one');
COMMIT;
SELECT dadbs.table_digest('f') = :'digest' AS same;
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SELECT dadbs.table_digest('f') = :'digest' AS same;
RESET TimeZone;
RESET DateStyle;
UPDATE f SET v = 'eins' WHERE id = 1;
SELECT dadbs.table_digest('f') = :'digest' AS same;
SELECT length(dadbs.database_digest());
CREATE VIEW fv AS SELECT * FROM f;
SELECT dadbs.table_digest('fv');
SELECT dadbs.table_digest('nowhere');

-- verify_chain: a range, beyond the end, and damage
SELECT * FROM dadbs.verify_chain(2, 3);
BEGIN;
UPDATE dadbs_internal.block SET hash = sha256('x') WHERE height = 2;
SELECT * FROM dadbs.verify_chain(1, 3);
ROLLBACK;
BEGIN;
UPDATE dadbs_internal.block SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE height = 2;
SELECT height, problem IS NOT NULL AS found FROM dadbs.verify_chain(1, 3) GROUP BY 1, 2 ORDER BY 1;
ROLLBACK;
BEGIN;
DELETE FROM dadbs_internal.block WHERE height = 2;
SELECT height, problem FROM dadbs.verify_chain(1, 2);
ROLLBACK;
BEGIN;
UPDATE dadbs_internal.batch SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1)
WHERE height = (SELECT max(height) FROM dadbs_internal.batch);
SELECT count(*) > 0 AS found FROM dadbs.verify_chain();
ROLLBACK;
SELECT * FROM dadbs.verify_chain();

-- state
SELECT state, can_write FROM dadbs.status;
SELECT name, state, is_primary FROM dadbs.nodes;
SELECT count(*) FROM dadbs.stat_activity;
SELECT stage, count > 0 AS used FROM dadbs.stat_stages WHERE stage IN ('capture', 'certify', 'local commit');
SELECT kind FROM dadbs.stat_conflicts;
-- within a second or two of the last block
DO $$
BEGIN
  FOR i IN 1..300 LOOP
    EXIT WHEN EXISTS (SELECT FROM dadbs.state_digests WHERE height = dadbs.applied_height());
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
SELECT node, height = dadbs.applied_height() AS is_last, length(digest), equal FROM dadbs.state_digests;
SELECT dadbs.is_shared('f'), dadbs.is_shared('pg_class');

-- an application role sees its own transactions, not the history
CREATE ROLE reader;
SET ROLE reader;
SELECT dadbs.last_transaction_id() IS NOT NULL;
SELECT count(*) FROM dadbs.changes;
SELECT dadbs.create_cluster();
RESET ROLE;
DROP ROLE reader;
DROP VIEW fv;
DROP TABLE f;
