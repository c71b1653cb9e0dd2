-- ---- decoding the history ------------------------------------------------------------------------------------------

CREATE FUNCTION dadbs_internal.decode_block(body bytea, certificate bytea,
    OUT "time" timestamptz, OUT proposer_id smallint, OUT view bigint, OUT epoch bigint, OUT item_count integer,
    OUT transaction_count integer, OUT bytes bigint, OUT previous_hash bytea, OUT hash bytea, OUT merkle_root bytea,
    OUT items_root bytea, OUT signer_ids smallint[])
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_block';

CREATE FUNCTION dadbs_internal.decode_batch(body bytea, first_index integer)
RETURNS TABLE (index integer, ordinal integer, write_set bytea, hash bytea, is_ddl boolean, base_height bigint,
    begun_at timestamptz, sql_user text, application_name text, change_count integer, origin_xid bigint)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_batch';

CREATE FUNCTION dadbs_internal.decode_changes(write_set bytea, height bigint, index integer)
RETURNS TABLE (ordinal integer, schema_name text, relation_name text, operation text, key jsonb, new_row jsonb,
    statement text, leaf_hash bytea)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_changes';

CREATE FUNCTION dadbs_internal.members()
RETURNS TABLE (id smallint, name text, address text, key bytea, is_self boolean)
LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_members';

CREATE FUNCTION dadbs_internal.parse_transaction_id(id text, OUT origin smallint, OUT incarnation bigint, OUT number bigint)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_parse_transaction_id';

CREATE FUNCTION dadbs_internal.verdict_name(verdict smallint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN CASE verdict WHEN 1 THEN 'committed' WHEN 2 THEN 'conflict' WHEN 3 THEN 'rejected' WHEN 4 THEN 'invalid' ELSE 'unknown' END;

-- ---- blocks, transactions, changes -----------------------------------------------------------------------------------

CREATE VIEW dadbs.blocks AS
SELECT b.height, d.time, p.name AS proposer, d.view, d.epoch, d.transaction_count, d.item_count, d.bytes,
       d.previous_hash, d.hash, d.merkle_root, d.items_root,
       ARRAY(SELECT m.name FROM dadbs_internal.members() m WHERE m.id = ANY (d.signer_ids) ORDER BY m.id) AS signers,
       b.received_at
FROM dadbs_internal.block b
CROSS JOIN LATERAL dadbs_internal.decode_block(b.body, b.certificate) d
LEFT JOIN dadbs_internal.members() p ON p.id = d.proposer_id;
COMMENT ON VIEW dadbs.blocks IS 'the chain: one row per block, with the members that signed its certificate';

CREATE VIEW dadbs.transactions AS
SELECT t.origin || '.' || t.incarnation || '.' || t.number AS id, t.height, t.index AS position, m.name AS origin,
       d.sql_user, d.application_name, d.begun_at,
       (SELECT k.time FROM dadbs_internal.block h CROSS JOIN LATERAL dadbs_internal.decode_block(h.body, h.certificate) k
        WHERE h.height = b.height) AS committed_at, t.applied_at,
       dadbs_internal.verdict_name(t.verdict) AS verdict, t.sqlstate, t.message, d.change_count,
       octet_length(d.write_set) AS bytes, d.is_ddl, d.base_height, nullif(t.origin_xid, 0) AS origin_xid, d.hash
FROM dadbs_internal.batch b
CROSS JOIN LATERAL dadbs_internal.decode_batch(b.body, b.first_index) d
JOIN dadbs_internal.transaction t ON t.height = b.height AND t.index = d.index
LEFT JOIN dadbs_internal.members() m ON m.id = t.origin;
COMMENT ON VIEW dadbs.transactions IS 'every ordered transaction: who, when, where in the chain, and how it ended';

CREATE VIEW dadbs.changes AS
SELECT t.height, t.index AS position, c.ordinal, t.origin || '.' || t.incarnation || '.' || t.number AS transaction_id,
       m.name AS origin, d.sql_user, d.application_name, (SELECT k.time FROM dadbs_internal.block h CROSS JOIN LATERAL dadbs_internal.decode_block(h.body, h.certificate) k
        WHERE h.height = b.height) AS committed_at, t.applied_at,
       CASE WHEN c.relation_name IS NOT NULL THEN format('%I.%I', c.schema_name, c.relation_name) END AS relation,
       c.operation, c.key, c.new_row, c.statement, c.leaf_hash
FROM dadbs_internal.batch b
CROSS JOIN LATERAL dadbs_internal.decode_batch(b.body, b.first_index) d
JOIN dadbs_internal.transaction t ON t.height = b.height AND t.index = d.index AND t.verdict = 1
CROSS JOIN LATERAL dadbs_internal.decode_changes(d.write_set, t.height, t.index) c
LEFT JOIN dadbs_internal.members() m ON m.id = t.origin;
COMMENT ON VIEW dadbs.changes IS 'what each committed transaction changed: rows by key and new content, DDL by statement';

-- ---- state -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION dadbs_internal.held_transactions()
RETURNS TABLE (pid integer, kind text, state text, transaction_id text, held_since timestamptz, state_since timestamptz,
    waiting_for text, must_yield boolean, changes bigint, height bigint, "position" integer)
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_held_transactions';
CREATE VIEW dadbs.stat_activity AS SELECT * FROM dadbs_internal.held_transactions();
COMMENT ON VIEW dadbs.stat_activity IS 'local transactions that are held in COMMIT: since when, for what and for whom they wait';

CREATE FUNCTION dadbs_internal.stage_stats() RETURNS TABLE (stage text, count bigint, mean_us bigint, max_us bigint)
LANGUAGE c VOLATILE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_stage_stats';
CREATE VIEW dadbs.stat_stages AS SELECT * FROM dadbs_internal.stage_stats();
COMMENT ON VIEW dadbs.stat_stages IS 'where the time of a commit goes on this member, in microseconds since the server started';

CREATE FUNCTION dadbs_internal.conflict_stats() RETURNS TABLE (kind text, count bigint)
LANGUAGE c VOLATILE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_conflict_stats';
CREATE VIEW dadbs.stat_conflicts AS SELECT * FROM dadbs_internal.conflict_stats();
COMMENT ON VIEW dadbs.stat_conflicts IS 'transactions that did not commit on this member, by reason, since the server started';

-- ---- functions -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION dadbs.genesis() RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_genesis';
COMMENT ON FUNCTION dadbs.genesis() IS 'the genesis block: members, keys, parameters; its hash is the chain id';

CREATE FUNCTION dadbs.verify_chain(from_height bigint DEFAULT NULL, to_height bigint DEFAULT NULL)
RETURNS TABLE (height bigint, problem text)
LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_verify_chain';
COMMENT ON FUNCTION dadbs.verify_chain(bigint, bigint) IS
    'recomputes hashes, links, Merkle roots, signatures and certificates; one row per problem, none where all is well';

CREATE FUNCTION dadbs_internal.fault_counts() RETURNS TABLE (node smallint, kind text, count bigint, since timestamptz, last_seen timestamptz)
LANGUAGE c VOLATILE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_fault_counts';
CREATE VIEW dadbs.faults AS
SELECT m.name AS node, f.kind, f.count, f.since, f.last_seen
FROM dadbs_internal.fault_counts() f LEFT JOIN dadbs_internal.members() m ON m.id = f.node
UNION ALL
SELECT m.name, 'an invalid write set', count(*), min(t.applied_at), max(t.applied_at)
FROM dadbs_internal.transaction t JOIN dadbs_internal.members() m ON m.id = t.origin WHERE t.verdict = 4 GROUP BY m.name;
COMMENT ON VIEW dadbs.faults IS
    'what other members have done that was wrong and convicts nobody, as this member has seen it since its server was started (invalid write sets: ever); node null: a stranger';

CREATE FUNCTION dadbs.verify_evidence(evidence bytea, OUT problem text, OUT node smallint, OUT name text, OUT kind text,
    OUT incarnation bigint, OUT phase text, OUT view bigint, OUT voted_height bigint, OUT number bigint)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_verify_evidence';
COMMENT ON FUNCTION dadbs.verify_evidence(bytea) IS
    'whose guilt the bytes prove, by the members'' public keys alone; problem: why they do not, null where they do';
CREATE VIEW dadbs.evidence AS
SELECT e.node, p.name, p.kind, p.incarnation, p.phase, p.view, p.voted_height, p.number, e.height, e.index, e.reported_by, e.evidence
FROM dadbs_internal.evidence e, dadbs.verify_evidence(e.evidence) p;
COMMENT ON VIEW dadbs.evidence IS 'members that have signed what contradicts itself, with the proof, for ever; equal on all members';

CREATE FUNCTION dadbs.block(height bigint) RETURNS SETOF dadbs.blocks
LANGUAGE sql STABLE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM dadbs.blocks b WHERE b.height = $1';
COMMENT ON FUNCTION dadbs.block(bigint) IS 'one block';

CREATE FUNCTION dadbs.block_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT coalesce(max(height), 0) FROM dadbs_internal.block';
COMMENT ON FUNCTION dadbs.block_count() IS 'number of blocks after the genesis block: the height of the last one';

CREATE FUNCTION dadbs.latest_block_hash() RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT hash FROM dadbs_internal.block ORDER BY height DESC LIMIT 1';
COMMENT ON FUNCTION dadbs.latest_block_hash() IS 'hash of the last block; NULL while there is only the genesis block';

CREATE FUNCTION dadbs.transaction(id text) RETURNS SETOF dadbs.transactions
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.* FROM dadbs_internal.parse_transaction_id($1) p
  JOIN dadbs_internal.batch b ON b.origin = p.origin AND b.incarnation = p.incarnation
    AND b.first_number <= p.number AND b.first_number + b.transaction_count > p.number
  JOIN dadbs.transactions t ON t.height = b.height AND t.position = b.first_index + (p.number - b.first_number)::integer
$$;
COMMENT ON FUNCTION dadbs.transaction(text) IS 'one transaction by its id';

-- Where a transaction stands in the chain: by id through the batch that holds its number.
CREATE FUNCTION dadbs_internal.find_transaction(id text) RETURNS dadbs_internal.transaction
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t FROM dadbs_internal.parse_transaction_id($1) p
  JOIN dadbs_internal.batch b ON b.origin = p.origin AND b.incarnation = p.incarnation
    AND b.first_number <= p.number AND b.first_number + b.transaction_count > p.number
  JOIN dadbs_internal.transaction t ON t.height = b.height AND t.index = b.first_index + (p.number - b.first_number)::integer
$$;

-- The last one of this member whose beginning is applied here, and where that stands.
CREATE FUNCTION dadbs_internal.own_incarnation(OUT incarnation bigint, OUT height bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_own_incarnation';

CREATE FUNCTION dadbs.transaction_status(id text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT dadbs_internal.verdict_name((dadbs_internal.find_transaction($1)).verdict)),
    (SELECT CASE
       -- A later incarnation of its origin has begun on the chain: what is not there by now never will be.
       WHEN EXISTS (SELECT FROM dadbs_internal.batch b WHERE b.origin = p.origin AND b.incarnation > p.incarnation) THEN 'aborted'
       -- The same where nothing of the later one is there yet; this snapshot must see all of the block in which it begins.
       WHEN p.origin = (SELECT m.id FROM dadbs_internal.members() m WHERE m.is_self)
         AND EXISTS (SELECT FROM dadbs_internal.own_incarnation() o JOIN dadbs_internal.block b ON b.height = o.height
                     WHERE p.incarnation < o.incarnation
                       AND (SELECT coalesce(sum(a.transaction_count), 0) FROM dadbs_internal.batch a WHERE a.height = o.height)
                         = (SELECT count(*) FROM dadbs_internal.transaction t WHERE t.height = o.height)) THEN 'aborted'
       ELSE 'in progress' END
     FROM dadbs_internal.parse_transaction_id($1) p))
$$;
COMMENT ON FUNCTION dadbs.transaction_status(text) IS
    'how a transaction ended: committed, conflict, rejected, invalid, aborted; or in progress';

CREATE FUNCTION dadbs.transaction_status(node text, xid xid8) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT dadbs_internal.verdict_name(t.verdict) FROM dadbs_internal.transaction t
     WHERE t.origin = (SELECT m.id FROM dadbs_internal.members() m WHERE m.name = $1)
       AND t.origin_xid = $2::text::bigint ORDER BY t.height DESC, t.index DESC LIMIT 1),
    'unknown')
$$;
COMMENT ON FUNCTION dadbs.transaction_status(text, xid8) IS
    'how the transaction ended for which pg_current_xact_id() gave this on that member; unknown: not on the chain (so far)';

CREATE FUNCTION dadbs.last_transaction_id() RETURNS text
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_last_transaction_id';
COMMENT ON FUNCTION dadbs.last_transaction_id() IS 'id of the last shared transaction of this session';

CREATE FUNCTION dadbs.wait_for(height bigint, timeout interval DEFAULT '30 s') RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_wait_for_height';
COMMENT ON FUNCTION dadbs.wait_for(bigint, interval) IS 'waits until this member has applied the block; false: timed out';

CREATE FUNCTION dadbs_internal.wait_for_position(height bigint, index integer, timeout interval) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_wait_for_position';

CREATE FUNCTION dadbs.wait_for(transaction_id text, timeout interval DEFAULT '30 s') RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found dadbs_internal.transaction;
  deadline timestamptz := clock_timestamp() + timeout;
  height bigint := dadbs.applied_height();
BEGIN
  IF transaction_id IS NULL THEN
    RETURN true;
  END IF;
  LOOP
    found := dadbs_internal.find_transaction(transaction_id);
    IF found.height IS NOT NULL THEN
      RETURN dadbs_internal.wait_for_position(found.height, found.index, greatest(deadline - clock_timestamp(), '0'));
    END IF;
    IF timeout IS NOT NULL AND clock_timestamp() >= deadline THEN
      RETURN false;
    END IF;
    -- Not here yet: the next block may hold it.
    height := dadbs.applied_height();
    PERFORM dadbs.wait_for(height + 1, least(coalesce(deadline - clock_timestamp(), '1 s'), '1 s'));
  END LOOP;
END $$;
COMMENT ON FUNCTION dadbs.wait_for(text, interval) IS
    'read your writes on another member: waits until the transaction is applied here; false: timed out';

CREATE FUNCTION dadbs.applied_height() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_applied_height';
COMMENT ON FUNCTION dadbs.applied_height() IS 'height up to which this member has applied the chain';

CREATE FUNCTION dadbs.is_shared(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_is_shared';
COMMENT ON FUNCTION dadbs.is_shared(regclass) IS 'whether changes of this table are shared';

CREATE FUNCTION dadbs.table_digest(relation regclass) RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_table_digest';
COMMENT ON FUNCTION dadbs.table_digest(regclass) IS
    'digest of a table''s content: the same on equal members, independent of physical order';

CREATE FUNCTION dadbs.database_digest() RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
  SELECT sha256(coalesce(string_agg(
           convert_to(format('%I.%I', n.nspname, c.relname), 'UTF8') || E'\\x00'::bytea || dadbs.table_digest(c.oid), ''::bytea
           ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"), ''::bytea))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND dadbs.is_shared(c.oid)
$$;
COMMENT ON FUNCTION dadbs.database_digest() IS 'digest of the content of all shared tables';

-- The chain for an independent verifier (docs/chain-format.md).
CREATE FUNCTION dadbs.export_chain(from_height bigint DEFAULT 1, to_height bigint DEFAULT NULL)
RETURNS TABLE (height bigint, body bytea, certificate bytea, batches bytea[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT b.height, b.body, b.certificate,
         ARRAY(SELECT t.body FROM dadbs_internal.batch t WHERE t.height = b.height ORDER BY t.item)
  FROM dadbs_internal.block b
  WHERE b.height >= $1 AND b.height <= coalesce($2, b.height) ORDER BY b.height
$$;
COMMENT ON FUNCTION dadbs.export_chain(bigint, bigint) IS 'blocks, certificates and batches as they were agreed, for an independent verifier';

-- ---- tables against the chain (src/pg/verify) ------------------------------------------------------------------------------

CREATE FUNCTION dadbs.verify_tables(relation regclass DEFAULT NULL)
RETURNS TABLE (table_name text, problem text, key jsonb, expected jsonb, found jsonb, height bigint, "position" integer, transaction_id text)
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_verify_tables';
COMMENT ON FUNCTION dadbs.verify_tables(regclass) IS
    'compares a table, or all shared tables, with what the chain says; one row per row that is missing, extra or different';

CREATE FUNCTION dadbs_internal.table_work()
RETURNS TABLE (pid integer, operation text, phase text, table_name text, done bigint, total bigint, since timestamptz)
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_table_work';
CREATE VIEW dadbs.table_work AS SELECT * FROM dadbs_internal.table_work();
COMMENT ON VIEW dadbs.table_work IS 'verifications and rebuilds of tables that run on this member, and how far they are';

-- ---- tables made anew from the chain ----------------------------------------------------------------------------------------

-- Which tables were rebuilt, at which height, and where their old rows are. A run is a call of rebuild_database() that may have been broken off.
CREATE TABLE dadbs_internal.rebuild_run (
    id          bigint PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE TABLE dadbs_internal.rebuilt (
    table_name  text NOT NULL,
    run         bigint,                -- null: by rebuild_table()
    height      bigint NOT NULL,
    row_count   bigint NOT NULL,
    kept_as     text NOT NULL,
    rebuilt_at  timestamptz NOT NULL
);
CREATE VIEW dadbs.rebuilt_tables AS
SELECT r.table_name, r.height, r.row_count, r.rebuilt_at, CASE WHEN to_regclass(r.kept_as) IS NOT NULL THEN r.kept_as END AS kept_as, r.run
FROM dadbs_internal.rebuilt r;
COMMENT ON VIEW dadbs.rebuilt_tables IS 'tables that were made anew from the chain, and the copies of what they held before';

CREATE FUNCTION dadbs_internal.rebuild(relation oid, run bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_rebuild';
CREATE FUNCTION dadbs_internal.outcomes_agree() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_outcomes_agree';

CREATE FUNCTION dadbs_internal.check_chain() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    SELECT * INTO problem FROM dadbs.verify_chain() ORDER BY height LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the history of this member is damaged at block %', problem.height
            USING DETAIL = problem.problem, ERRCODE = 'data_corrupted', HINT = 'dadbs.verify_chain() tells more.';
    END IF;
END
$$;

-- Nothing is made from a history that is not the group's.
CREATE FUNCTION dadbs_internal.check_history() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM dadbs_internal.check_chain();
    IF NOT dadbs_internal.outcomes_agree() THEN
        RAISE EXCEPTION 'the history of this member is not what a quorum has signed'
            USING DETAIL = 'Verdicts, keys or effects of contracts differ: tables that are made from them would differ, too.', ERRCODE = 'data_corrupted',
                  HINT = 'dadbs.rebuild_database() takes what the group has come to in their place.';
    END IF;
END
$$;

CREATE FUNCTION dadbs.rebuild_table(relation regclass) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf oid;
    total bigint := 0;
BEGIN
    IF NOT dadbs.is_shared(relation) THEN
        RAISE EXCEPTION '"%" is not a shared table', relation USING ERRCODE = 'wrong_object_type';
    END IF;
    PERFORM dadbs_internal.check_history();
    FOR leaf IN SELECT relation WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relkind = 'p')
                UNION ALL SELECT t.relid FROM pg_partition_tree(relation) t WHERE t.isleaf AND t.relid <> relation LOOP
        total := total + dadbs_internal.rebuild(leaf, 0);
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION dadbs.rebuild_table(regclass) IS
    'makes rows and indexes of a shared table anew from the chain, and keeps the old rows in dadbs_kept; returns how many rows it has';
