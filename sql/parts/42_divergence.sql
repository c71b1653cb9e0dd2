-- ---- a member that has come to something else than the group (src/pg/verify/mend.cpp) -----------------------------------------

-- The first position where this member has come to something else than a quorum, and of how many blocks; no row: nowhere. `mends`: the
-- group's outcomes are written in the place of this member's, and the workers begin anew. `from_genesis`: also what was before it diverged.
CREATE FUNCTION dadbs_internal.compare_outcomes(mends boolean, from_genesis boolean)
RETURNS TABLE (height bigint, index integer, what text, verdict_here smallint, verdict_there smallint, change integer, effect bytea,
    effect_is_here boolean, blocks bigint)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_compare_outcomes';
CREATE FUNCTION dadbs_internal.await_workers() RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_await_workers';
CREATE FUNCTION dadbs_internal.agrees_again() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_agrees_again';
CREATE FUNCTION dadbs_internal.is_diverged() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_is_diverged';
CREATE FUNCTION dadbs_internal.forget_divergence() RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_forget_divergence';

-- As decode_changes and decode_effect, but values of types that somebody has made are shown as they travelled: a superuser's process reads
-- them by itself, and no output function or cast of anybody's is executed for it.
CREATE FUNCTION dadbs_internal.decode_changes(write_set bytea, height bigint, index integer, plain boolean)
RETURNS TABLE (ordinal integer, schema_name text, relation_name text, operation text, key jsonb, new_row jsonb,
    statement text, leaf_hash bytea)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_changes';
CREATE FUNCTION dadbs_internal.decode_effect(change bytea, height bigint, index integer, plain boolean)
RETURNS TABLE (ordinal integer, schema_name text, relation_name text, operation text, key jsonb, new_row jsonb,
    statement text, leaf_hash bytea)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_effect';

-- The columns of the primary key out of a row; the whole row where there is none.
CREATE FUNCTION dadbs_internal.key_of(schema_name text, relation_name text, height bigint, index integer, a_row jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT jsonb_object_agg(c.name, $5 -> c.name)
                   FROM (SELECT v.key_columns FROM dadbs_internal.relation_version v
                         WHERE v.schema_name = $1 AND v.relation_name = $2 AND (v.height, v.index) <= ($3, $4)
                         ORDER BY v.height DESC, v.index DESC LIMIT 1) k CROSS JOIN LATERAL unnest(k.key_columns) c(name)), $5)
$$;

-- Executed by a process of this member's, as a superuser, when the member has found that it differs (src/pg/blocks/difference.cpp).
CREATE FUNCTION dadbs_internal.name_difference() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d record;
    c record;
    its_table text;
    its_key jsonb;
BEGIN
    SELECT * INTO d FROM dadbs_internal.compare_outcomes(false, false);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT NULL::text AS schema_name, NULL::text AS relation_name, NULL::jsonb AS key, NULL::jsonb AS new_row INTO c;
    IF d.effect IS NOT NULL THEN
        SELECT * INTO c FROM dadbs_internal.decode_effect(d.effect, d.height, d.index, true);
    ELSIF d.change IS NOT NULL THEN
        SELECT x.* INTO c FROM dadbs_internal.batch b
        CROSS JOIN LATERAL dadbs_internal.decode_batch(b.body, b.first_index) t
        CROSS JOIN LATERAL dadbs_internal.decode_changes(t.write_set, b.height, t.index, true) x
        WHERE b.height = d.height AND t.index = d.index AND x.ordinal = d.change;
    END IF;
    IF c.relation_name IS NOT NULL THEN
        its_table := format('%I.%I', c.schema_name, c.relation_name);
        its_key := coalesce(c.key, dadbs_internal.key_of(c.schema_name, c.relation_name, d.height, d.index, c.new_row));
    END IF;
    UPDATE dadbs_internal.divergence v
    SET first_height = d.height, first_index = d.index, what = d.what, verdict_here = d.verdict_here, verdict_there = d.verdict_there,
        relation = its_table, key = its_key;
    PERFORM pg_notify('dadbs', json_build_object('event', 'difference', 'height', d.height, 'position', d.index, 'what', d.what)::text);  -- anybody may listen
    RAISE LOG 'dadbs: the first position that differs from the group is % of block %: %', d.index, d.height,
        CASE WHEN d.what = 'verdict' THEN format('%s here, %s there', dadbs_internal.verdict_name(d.verdict_here), dadbs_internal.verdict_name(d.verdict_there))
             ELSE d.what END || coalesce(format('; table %s, key %s', its_table, its_key), '');
END
$$;

CREATE VIEW dadbs.divergence AS
SELECT v.height AS found_at_height, v.agreed AS agreed_height, v.no_quorum, v.found_at, v.first_height AS height, v.first_index AS "position",
       t.origin || '.' || t.incarnation || '.' || t.number AS transaction_id, v.what,
       CASE WHEN v.what = 'verdict' THEN dadbs_internal.verdict_name(v.verdict_here) END AS verdict_here,
       CASE WHEN v.what = 'verdict' THEN dadbs_internal.verdict_name(v.verdict_there) END AS verdict_of_the_group, v.relation, v.key
FROM dadbs_internal.divergence v LEFT JOIN dadbs_internal.transaction t ON t.height = v.first_height AND t.index = v.first_index;
COMMENT ON VIEW dadbs.divergence IS 'that this member has come to something else than the group: where first, in which transaction, table and key';

-- ---- and its way back --------------------------------------------------------------------------------------------------------

-- Of one block of the history, with its batches: from which member it came.
CREATE FUNCTION dadbs_internal.mend_block(height bigint) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_mend_block';

-- Returns how many blocks were damaged.
CREATE FUNCTION dadbs_internal.mend_blocks() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    damaged bigint;
    count bigint := 0;
BEGIN
    FOR damaged IN SELECT DISTINCT v.height FROM dadbs.verify_chain() v ORDER BY 1 LOOP
        RAISE NOTICE 'block % of the history is as member % has it now', damaged, dadbs_internal.mend_block(damaged);
        count := count + 1;
    END LOOP;
    RETURN count;
END
$$;

-- Returns of how many blocks the outcomes were not the group's.
CREATE FUNCTION dadbs_internal.mend_outcomes(from_genesis boolean) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d record;
BEGIN
    SELECT * INTO d FROM dadbs_internal.compare_outcomes(true, from_genesis);
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    RAISE NOTICE 'outcomes of % blocks, from position % of block % on, are the group''s now', d.blocks, d.index, d.height;
    RETURN d.blocks;
END
$$;

-- The shared tables that are not as the chain says, or have an index that is not as they are.
CREATE FUNCTION dadbs_internal.differing_tables() RETURNS TABLE (id oid)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT coalesce(i.indrelid, to_regclass(v.table_name)::oid)
  FROM dadbs.verify_tables() v LEFT JOIN pg_index i ON i.indexrelid = to_regclass(v.table_name) ORDER BY 1
$$;

-- No SET here: it would forbid COMMIT.
CREATE PROCEDURE dadbs_internal.rebuild_each()
LANGUAGE plpgsql
AS $$
DECLARE
    this_run bigint;
    r record;
BEGIN
    SELECT id INTO this_run FROM dadbs_internal.rebuild_run WHERE ended_at IS NULL ORDER BY id LIMIT 1;
    IF this_run IS NULL THEN
        INSERT INTO dadbs_internal.rebuild_run
            SELECT coalesce(pg_catalog.max(n.id), 0) OPERATOR(pg_catalog.+) 1, pg_catalog.now() FROM dadbs_internal.rebuild_run n
            RETURNING id INTO this_run;
    END IF;
    COMMIT;
    FOR r IN SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS shown
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND dadbs.is_shared(c.oid) ORDER BY c.oid LOOP
        IF NOT EXISTS (SELECT FROM dadbs_internal.rebuilt b WHERE b.run OPERATOR(pg_catalog.=) this_run AND b.table_name OPERATOR(pg_catalog.=) r.shown) THEN
            PERFORM dadbs_internal.rebuild(r.oid, this_run);
            COMMIT;
        END IF;
    END LOOP;
    UPDATE dadbs_internal.rebuild_run SET ended_at = pg_catalog.now() WHERE id OPERATOR(pg_catalog.=) this_run;
END
$$;

CREATE FUNCTION dadbs_internal.rebuild_differing(id oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'a table that the chain has made is not there' USING ERRCODE = 'undefined_table', HINT = 'dadbs.verify_tables() names it.';
    END IF;
    PERFORM dadbs_internal.rebuild(id, 0);
END
$$;

-- First the outcomes, then each table that differs from what they make of it, in a transaction of its own. Where writes of the others have met rows
-- that were still wrong meanwhile, once more, and all in one transaction, during which nothing is applied here.
CREATE PROCEDURE dadbs_internal.return_to_group()
LANGUAGE plpgsql
AS $$
DECLARE
    r record;
BEGIN
    PERFORM dadbs_internal.mend_outcomes(false);
    COMMIT;
    PERFORM dadbs_internal.await_workers();
    COMMIT;
    IF NOT dadbs_internal.outcomes_agree() THEN  -- what lies before the divergence was edited, too
        COMMIT;
        PERFORM dadbs_internal.mend_outcomes(true);
        COMMIT;
        PERFORM dadbs_internal.await_workers();
    END IF;
    COMMIT;
    FOR r IN SELECT d.id FROM dadbs_internal.differing_tables() d LOOP
        PERFORM dadbs_internal.rebuild_differing(r.id);
        COMMIT;
    END LOOP;
    IF NOT dadbs_internal.agrees_again() THEN
        COMMIT;
        PERFORM dadbs_internal.mend_outcomes(false);
        FOR r IN SELECT d.id FROM dadbs_internal.differing_tables() d LOOP
            PERFORM dadbs_internal.rebuild_differing(r.id);
        END LOOP;
        COMMIT;
        PERFORM dadbs_internal.await_workers();
        COMMIT;
        IF NOT dadbs_internal.agrees_again() THEN
            RAISE EXCEPTION 'this member still comes to something else than the group'
                USING ERRCODE = 'DA006', DETAIL = 'Its outcomes and tables were mended, and have become different again.',
                      HINT = 'Look for what differs in this server: its version, locale, extensions, hardware. dadbs.divergence names the first difference.';
        END IF;
    END IF;
    DELETE FROM dadbs_internal.divergence;
    COMMIT;
    PERFORM dadbs_internal.forget_divergence();
    COMMIT;
    PERFORM dadbs_internal.await_workers();
END
$$;

CREATE PROCEDURE dadbs.rebuild_database()
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM dadbs_internal.mend_blocks();
    COMMIT;
    PERFORM dadbs_internal.check_chain();
    IF dadbs_internal.is_diverged() OR NOT dadbs_internal.outcomes_agree() THEN
        COMMIT;
        CALL dadbs_internal.return_to_group();
    ELSE
        COMMIT;
        CALL dadbs_internal.rebuild_each();
    END IF;
END
$$;
COMMENT ON PROCEDURE dadbs.rebuild_database() IS
    'makes this member equal to the group again: damaged blocks and outcomes from the other members, tables from the chain. Where it had not diverged: rebuild_table() for each shared table, each in a transaction of its own; broken off and called again it goes on where it was';
