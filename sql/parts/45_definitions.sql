-- ---- definitions against the chain (src/pg/verify/definitions.cpp) -----------------------------------------------------------

-- What each shared definition was on this member when the last position that wrote it had been executed. An object goes by its
-- address in the catalogs. `digest` is over what its own catalog rows say, with the numbers of other objects: no rename of these changes
-- it. `body` is for people and for repairs; null where it would take long to make.
CREATE TABLE dadbs_internal.definition (
    class     oid NOT NULL,
    object    oid NOT NULL,
    part      integer NOT NULL,        -- a column
    key       text NOT NULL,           -- an index of that table, by its name: made again it has another number. Else ''
    kind      text NOT NULL,
    name      text NOT NULL,           -- quoted; with its schema where it has one
    of        text,                    -- its table or domain
    digest    text NOT NULL,
    body      jsonb,
    height    bigint NOT NULL,         -- 0: it was here before the group, or before definitions were kept
    index     integer NOT NULL,
    PRIMARY KEY (class, object, part, key)
);
-- Positions whose definitions could not be kept. Where height is 0: the first taking of all.
CREATE TABLE dadbs_internal.definition_gap (
    height    bigint NOT NULL,
    index     integer NOT NULL,
    reason    text,                    -- null: nothing is missing, all was taken
    PRIMARY KEY (height, index)
);
-- How far sequences had come, now and then. A file of its own for each RESTART.
CREATE TABLE dadbs_internal.sequence_mark (
    sequence   oid PRIMARY KEY,
    file       oid NOT NULL,
    next_value bigint NOT NULL,
    height     bigint NOT NULL,
    noted_at   timestamptz NOT NULL
);

CREATE FUNCTION dadbs_internal.is_shared_object(class oid, object oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'dadbs_is_shared_object';
-- As dadbs_owner where expressions of the group's are evaluated: they would run with a superuser's rights.
CREATE FUNCTION dadbs_internal.execute_locally(statement text, as_owner boolean) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_execute_locally';
CREATE FUNCTION dadbs_internal.move_sequence(sequence oid, past bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_move_sequence';

-- What the catalogs say now of the shared ones among these objects.
CREATE FUNCTION dadbs_internal.live_definitions(relations oid[], routines oid[], types oid[], operators oid[], statistics oid[], schemas oid[])
RETURNS TABLE (class oid, object oid, part integer, key text, kind text, name text, of text, digest text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET quote_all_identifiers = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH r AS MATERIALIZED (
        SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS shown
        FROM (SELECT DISTINCT u FROM unnest(relations) u) u JOIN pg_class c ON c.oid = u.u JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c', 'f') AND dadbs_internal.is_shared_object('pg_class'::regclass, c.oid)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
    t AS MATERIALIZED (
        SELECT y.oid, format_type(y.oid, NULL) AS shown FROM (SELECT DISTINCT u FROM unnest(types) u) u JOIN pg_type y ON y.oid = u.u
        WHERE y.typtype IN ('d', 'e', 'r') AND dadbs_internal.is_shared_object('pg_type'::regclass, y.oid)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = y.oid AND d.deptype = 'e'))
    SELECT 'pg_class'::regclass::oid, c.oid, 0, '',
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' WHEN 'm' THEN 'materialized view' ELSE 'table' END, r.shown, NULL::text,
           md5(ROW(c.relname, c.relnamespace, c.relowner, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispartition,
                   c.relpartbound::text, c.reloptions,
                   (SELECT array_agg(i.inhparent ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
                   (SELECT ROW(p.partstrat, p.partattrs, p.partclass, p.partcollation, p.partexprs::text)::text FROM pg_partitioned_table p WHERE p.partrelid = c.oid),
                   (SELECT ROW(s.*)::text FROM pg_sequence s WHERE s.seqrelid = c.oid),
                   (SELECT md5(w.ev_action::text) FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename = '_RETURN'))::text)
    FROM r JOIN pg_class c ON c.oid = r.oid
    UNION ALL
    SELECT 'pg_class'::regclass::oid, a.attrelid, a.attnum::integer, '', 'column', quote_ident(a.attname), r.shown,
           md5(ROW(a.attname, a.attnum, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, a.attcollation, a.attstorage,
                   (SELECT d.adbin::text FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum))::text)
    FROM r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'S'
    UNION ALL
    SELECT 'pg_index'::regclass::oid, i.indrelid, 0, c.relname::text, 'index', format('%I.%I', n.nspname, c.relname), r.shown,
           md5(ROW(c.relname, c.relowner, c.relam, c.reloptions, i.indrelid, i.indisunique, i.indnullsnotdistinct, i.indisprimary, i.indisexclusion, i.indimmediate,
                   i.indisvalid, i.indisready, i.indislive, i.indisreplident, i.indkey, i.indcollation, i.indclass, i.indoption, i.indexprs::text, i.indpred::text)::text)
    FROM r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisvalid OR c.relname !~ '_cc(new|old)[0-9]*$'  -- what a REINDEX CONCURRENTLY has left, before the table was shared
    UNION ALL
    SELECT 'pg_constraint'::regclass::oid, o.oid, 0, '', 'constraint', quote_ident(o.conname), h.shown,
           md5(ROW(o.conname, o.contype, o.condeferrable, o.condeferred, o.convalidated, o.conrelid, o.contypid, o.confrelid, o.confupdtype, o.confdeltype,
                   o.confmatchtype, o.conislocal, o.connoinherit, o.conkey, o.confkey, o.conpfeqop, o.conexclop, o.confdelsetcols, o.conbin::text)::text)
    FROM (SELECT r.shown, o.* FROM r JOIN pg_constraint o ON o.conrelid = r.oid UNION ALL SELECT t.shown, o.* FROM t JOIN pg_constraint o ON o.contypid = t.oid) h,
         LATERAL (SELECT h.*) o
    WHERE o.contype <> 't'
    UNION ALL
    SELECT 'pg_trigger'::regclass::oid, g.oid, 0, '', 'trigger',
           CASE WHEN g.tgisinternal THEN format('%s of %I', p.proname, coalesce((SELECT o.conname FROM pg_constraint o WHERE o.oid = g.tgconstraint), '')) ELSE quote_ident(g.tgname) END,
           r.shown,
           md5(ROW(CASE WHEN NOT g.tgisinternal THEN g.tgname END, g.tgrelid, g.tgfoid, g.tgtype, g.tgenabled, g.tgisinternal, g.tgconstrrelid, g.tgdeferrable,
                   g.tginitdeferred, g.tgattr, encode(g.tgargs, 'hex'), g.tgqual::text, g.tgoldtable, g.tgnewtable)::text)
    FROM r JOIN pg_trigger g ON g.tgrelid = r.oid JOIN pg_proc p ON p.oid = g.tgfoid
    UNION ALL
    SELECT 'pg_policy'::regclass::oid, p.oid, 0, '', 'policy', quote_ident(p.polname), r.shown,
           md5(ROW(p.polname, p.polrelid, p.polcmd, p.polpermissive, p.polroles, p.polqual::text, p.polwithcheck::text)::text)
    FROM r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT 'pg_rewrite'::regclass::oid, w.oid, 0, '', 'rule', quote_ident(w.rulename), r.shown,
           md5(ROW(w.rulename, w.ev_class, w.ev_type, w.ev_enabled, w.is_instead, w.ev_qual::text, w.ev_action::text)::text)
    FROM r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 'pg_proc'::regclass::oid, p.oid, 0, '', CASE p.prokind WHEN 'a' THEN 'aggregate' ELSE 'function' END, p.oid::regprocedure::text, NULL,
           md5(ROW(p.proname, p.pronamespace, p.proowner, p.prolang, p.procost, p.prorows, p.provariadic, p.prokind, p.prosecdef, p.proleakproof, p.proisstrict,
                   p.proretset, p.provolatile, p.proparallel, p.prorettype, p.proargtypes, p.proallargtypes, p.proargmodes, p.proargnames, p.proargdefaults::text,
                   p.prosrc, p.probin, p.prosqlbody::text, p.proconfig, (SELECT ROW(g.*)::text FROM pg_aggregate g WHERE g.aggfnoid = p.oid))::text)
    FROM (SELECT DISTINCT u FROM unnest(routines) u) u JOIN pg_proc p ON p.oid = u.u
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
      AND (dadbs_internal.is_shared_object('pg_proc'::regclass, p.oid) OR p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'dadbs_contract'))
    UNION ALL
    SELECT 'pg_type'::regclass::oid, y.oid, 0, '', 'type', t.shown, NULL,
           md5(ROW(y.typname, y.typnamespace, y.typowner, y.typtype, y.typbasetype, y.typtypmod, y.typnotnull, y.typcollation, y.typdefaultbin::text,
                   (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = y.oid),
                   (SELECT ROW(g.*)::text FROM pg_range g WHERE g.rngtypid = y.oid))::text)
    FROM t JOIN pg_type y ON y.oid = t.oid
    UNION ALL
    SELECT 'pg_operator'::regclass::oid, o.oid, 0, '', 'operator', o.oid::regoperator::text, NULL, md5(ROW(o.*)::text)
    FROM pg_operator o WHERE o.oid = ANY (operators) AND dadbs_internal.is_shared_object('pg_operator'::regclass, o.oid)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass::oid, x.oid, 0, '', 'statistics', format('%I.%I', n.nspname, x.stxname), NULL,
           md5(ROW(x.stxrelid, x.stxname, x.stxnamespace, x.stxowner, x.stxkeys, x.stxkind, x.stxexprs::text)::text)
    FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
    WHERE x.oid = ANY (statistics) AND dadbs_internal.is_shared_object('pg_class'::regclass, x.stxrelid)
    UNION ALL
    SELECT 'pg_namespace'::regclass::oid, n.oid, 0, '', 'schema', quote_ident(n.nspname), NULL, md5(ROW(n.nspname, n.nspowner)::text)
    FROM pg_namespace n WHERE n.oid = ANY (schemas) AND dadbs_internal.is_shared_object('pg_namespace'::regclass, n.oid);
END
$$;

-- An expression of a catalog as text. Where it is so large that it could take long, or much of the stack, null.
CREATE FUNCTION dadbs_internal.shown_expression(expression pg_node_tree, relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$ SELECT CASE WHEN length($1::text) <= 131072 THEN pg_get_expr($1, $2) END $$;

-- For people and for repairs. Null: it would take long to make, or the object is gone.
CREATE FUNCTION dadbs_internal.definition_body(kind text, class oid, object oid, part integer, key text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET quote_all_identifiers = off SET "DateStyle" = 'ISO, YMD' SET "TimeZone" = 'UTC'
AS $$
DECLARE
    largest CONSTANT integer := 131072;
    body jsonb;
BEGIN
    CASE kind
    WHEN 'column' THEN
        SELECT jsonb_build_object('type', format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
                                  'collation', CASE WHEN a.attcollation <> y.typcollation THEN a.attcollation::regcollation::text END,
                                  'identity', nullif(a.attidentity::text, ''), 'generated', a.attgenerated = 's', 'storage', a.attstorage,
                                  'default', dadbs_internal.shown_expression(d.adbin, a.attrelid)) INTO body
        FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = object AND a.attnum = part AND (d.adbin IS NULL OR length(d.adbin::text) <= largest);
    WHEN 'index' THEN
        SELECT jsonb_build_object('definition', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid AND i.indisready AND i.indislive, 'identity', i.indisreplident,
                                  'constraint', EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))) INTO body
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = object AND c.relname = key AND coalesce(length(i.indexprs::text), 0) + coalesce(length(i.indpred::text), 0) <= largest;
    WHEN 'constraint' THEN
        SELECT jsonb_build_object('definition', pg_get_constraintdef(o.oid), 'domain', o.contypid <> 0, 'inherited', o.coninhcount > 0) INTO body
        FROM pg_constraint o WHERE o.oid = object AND coalesce(length(o.conbin::text), 0) <= largest;
    WHEN 'trigger' THEN
        SELECT jsonb_build_object('definition', CASE WHEN g.tgisinternal THEN 'internal' ELSE pg_get_triggerdef(g.oid) END, 'enabled', g.tgenabled,
                                  'constraint', (SELECT quote_ident(o.conname) FROM pg_constraint o WHERE g.tgisinternal AND o.oid = g.tgconstraint)) INTO body
        FROM pg_trigger g WHERE g.oid = object AND coalesce(length(g.tgqual::text), 0) <= largest;
    WHEN 'policy' THEN
        SELECT jsonb_build_object('definition', concat_ws(' ', CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END, 'FOR',
                       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, 'TO',
                       (SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r),
                       'USING (' || dadbs_internal.shown_expression(p.polqual, p.polrelid) || ')',
                       'WITH CHECK (' || dadbs_internal.shown_expression(p.polwithcheck, p.polrelid) || ')')) INTO body
        FROM pg_policy p WHERE p.oid = object AND coalesce(length(p.polqual::text), 0) + coalesce(length(p.polwithcheck::text), 0) <= largest;
    WHEN 'rule' THEN
        SELECT jsonb_build_object('definition', pg_get_ruledef(w.oid)) INTO body FROM pg_rewrite w WHERE w.oid = object AND length(w.ev_action::text) <= largest;
    WHEN 'function' THEN
        SELECT jsonb_build_object('definition', pg_get_functiondef(p.oid), 'owner', quote_ident(pg_get_userbyid(p.proowner))) INTO body
        FROM pg_proc p WHERE p.oid = object AND coalesce(length(p.prosqlbody::text), 0) + coalesce(length(p.proargdefaults::text), 0) <= largest;
    WHEN 'aggregate' THEN
        SELECT jsonb_build_object('definition', to_jsonb(g) - 'aggfnoid', 'owner', quote_ident(pg_get_userbyid(p.proowner))) INTO body
        FROM pg_proc p JOIN pg_aggregate g ON g.aggfnoid = p.oid WHERE p.oid = object;
    WHEN 'sequence' THEN
        SELECT jsonb_build_object('definition', format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', format_type(s.seqtypid, NULL), s.seqincrement,
                       s.seqmin, s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END), 'owner', quote_ident(pg_get_userbyid(c.relowner))) INTO body
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE s.seqrelid = object;
    WHEN 'view' THEN
        SELECT jsonb_build_object('definition', pg_get_viewdef(c.oid), 'owner', quote_ident(pg_get_userbyid(c.relowner)), 'options', to_jsonb(c.reloptions)) INTO body
        FROM pg_class c JOIN pg_rewrite w ON w.ev_class = c.oid AND w.rulename = '_RETURN' WHERE c.oid = object AND length(w.ev_action::text) <= largest;
    WHEN 'table' THEN
        SELECT jsonb_build_object('owner', quote_ident(pg_get_userbyid(c.relowner)), 'row security', c.relrowsecurity, 'forced', c.relforcerowsecurity,
                       'persistence', c.relpersistence, 'replica identity', c.relreplident, 'options', to_jsonb(c.reloptions),
                       'partition of', (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition),
                       'bound', dadbs_internal.shown_expression(c.relpartbound, c.oid), 'partition by', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END) INTO body
        FROM pg_class c WHERE c.oid = object AND coalesce(length(c.relpartbound::text), 0) <= largest;
    WHEN 'type' THEN
        IF class = 'pg_class'::regclass THEN
            SELECT jsonb_build_object('definition', 'composite', 'owner', quote_ident(pg_get_userbyid(c.relowner))) INTO body FROM pg_class c WHERE c.oid = object;
        ELSE
            SELECT jsonb_build_object('definition', CASE y.typtype
                           WHEN 'e' THEN (SELECT format('ENUM (%s)', string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)) FROM pg_enum e WHERE e.enumtypid = y.oid)
                           WHEN 'd' THEN format_type(y.typbasetype, y.typtypmod) || CASE WHEN y.typnotnull THEN ' NOT NULL' ELSE '' END
                                         || coalesce(' DEFAULT ' || dadbs_internal.shown_expression(y.typdefaultbin, 0), '')
                           ELSE (SELECT format('RANGE (SUBTYPE = %s)', format_type(g.rngsubtype, NULL)) FROM pg_range g WHERE g.rngtypid = y.oid) END,
                           'owner', quote_ident(pg_get_userbyid(y.typowner))) INTO body
            FROM pg_type y WHERE y.oid = object AND coalesce(length(y.typdefaultbin::text), 0) <= largest;
        END IF;
    WHEN 'operator' THEN
        SELECT jsonb_build_object('definition', to_jsonb(o) - 'oid') INTO body FROM pg_operator o WHERE o.oid = object;
    WHEN 'statistics' THEN
        SELECT jsonb_build_object('definition', pg_get_statisticsobjdef(x.oid)) INTO body FROM pg_statistic_ext x WHERE x.oid = object AND coalesce(length(x.stxexprs::text), 0) <= largest;
    WHEN 'schema' THEN
        SELECT jsonb_build_object('owner', quote_ident(pg_get_userbyid(n.nspowner))) INTO body FROM pg_namespace n WHERE n.oid = object;
    ELSE
        body := NULL;
    END CASE;
    RETURN body;
END
$$;

-- Objects whose text names one of these, and so on: after a rename.
CREATE FUNCTION dadbs_internal.named_by(classes oid[], objects oid[]) RETURNS TABLE (class oid, object oid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE f AS (
        SELECT * FROM unnest($1, $2) AS g(class, object)
        UNION
        SELECT DISTINCT CASE WHEN d.classid IN ('pg_rewrite'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass) AND r.relation <> 0
                        THEN 'pg_class'::regclass::oid ELSE d.classid END,
                   CASE WHEN d.classid IN ('pg_rewrite'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass) AND r.relation <> 0 THEN r.relation ELSE d.objid END
        FROM f JOIN pg_depend d ON d.refclassid = f.class AND d.refobjid = f.object,
        LATERAL (SELECT coalesce(CASE d.classid WHEN 'pg_rewrite'::regclass THEN (SELECT w.ev_class FROM pg_rewrite w WHERE w.oid = d.objid)
                                       WHEN 'pg_attrdef'::regclass THEN (SELECT a.adrelid FROM pg_attrdef a WHERE a.oid = d.objid)
                                       WHEN 'pg_constraint'::regclass THEN (SELECT o.conrelid FROM pg_constraint o WHERE o.oid = d.objid) END, 0) AS relation) r
        WHERE d.deptype <> 'e')
    SELECT class, object FROM f
$$;

CREATE FUNCTION dadbs_internal.definition_is_live(class oid, object oid, part integer, key text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT CASE $1
        WHEN 'pg_class'::regclass THEN CASE WHEN $3 = 0 THEN EXISTS (SELECT FROM pg_class c WHERE c.oid = $2)
            ELSE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $2 AND a.attnum = $3 AND NOT a.attisdropped) END
        WHEN 'pg_index'::regclass THEN EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $2 AND c.relname = $4)
        WHEN 'pg_constraint'::regclass THEN EXISTS (SELECT FROM pg_constraint o WHERE o.oid = $2)
        WHEN 'pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_trigger g WHERE g.oid = $2)
        WHEN 'pg_policy'::regclass THEN EXISTS (SELECT FROM pg_policy p WHERE p.oid = $2)
        WHEN 'pg_rewrite'::regclass THEN EXISTS (SELECT FROM pg_rewrite w WHERE w.oid = $2)
        WHEN 'pg_proc'::regclass THEN EXISTS (SELECT FROM pg_proc p WHERE p.oid = $2)
        WHEN 'pg_type'::regclass THEN EXISTS (SELECT FROM pg_type y WHERE y.oid = $2)
        WHEN 'pg_operator'::regclass THEN EXISTS (SELECT FROM pg_operator o WHERE o.oid = $2)
        WHEN 'pg_statistic_ext'::regclass THEN EXISTS (SELECT FROM pg_statistic_ext x WHERE x.oid = $2)
        WHEN 'pg_namespace'::regclass THEN EXISTS (SELECT FROM pg_namespace n WHERE n.oid = $2)
        ELSE true END
$$;

-- What was dropped past the chain and made again by hand has another number than its record. Where a definition then writes or drops it, the
-- record of its old number goes: the group has decided on that name since. (rebuild_definitions() gives records the new numbers itself.)
CREATE FUNCTION dadbs_internal.forget_definitions(classes oid[], objects oid[], parts integer[], relations oid[], names text[], schemas oid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET quote_all_identifiers = off
AS $$
#variable_conflict use_column
BEGIN
    WITH w AS MATERIALIZED (
        SELECT DISTINCT g.class, g.object, g.part, g.relation,
               coalesce(quote_ident(n.nspname) || '.', '') || CASE WHEN g.class = 'pg_operator'::regclass THEN g.name ELSE quote_ident(g.name) END AS shown
        FROM unnest(classes, objects, parts, relations, names, schemas) AS g(class, object, part, relation, name, schema) LEFT JOIN pg_namespace n ON n.oid = g.schema
        WHERE g.name <> ''),
    -- A relation by the names that it has and had.
    r AS MATERIALIZED (
        SELECT w.object AS relation, w.shown FROM w WHERE w.class = 'pg_class'::regclass AND w.part = 0
        UNION SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN (SELECT w.relation FROM w)),
    ended AS MATERIALIZED (
        SELECT w.class, w.shown FROM w
        WHERE w.class IN ('pg_class'::regclass, 'pg_namespace'::regclass) AND w.part = 0 AND NOT dadbs_internal.definition_is_live(w.class, w.object, 0, '')),
    o AS MATERIALIZED (
        SELECT d.class, d.object, d.part, d.key FROM w JOIN dadbs_internal.definition d ON d.class = w.class AND d.name = w.shown WHERE d.of IS NULL
        UNION SELECT d.class, d.object, d.part, d.key FROM w JOIN dadbs_internal.definition d ON d.class = w.class AND d.name = w.shown
              WHERE d.of IS NOT NULL AND (w.relation = 0 OR d.of IN (SELECT r.shown FROM r WHERE r.relation = w.relation))
        UNION SELECT d.class, d.object, d.part, d.key FROM w JOIN dadbs_internal.definition d ON d.name = w.shown
              WHERE w.class = 'pg_class'::regclass AND w.part = 0 AND d.class = 'pg_index'::regclass
        UNION SELECT d.class, d.object, d.part, d.key FROM w JOIN dadbs_internal.definition d ON d.class = w.class AND starts_with(d.name, w.shown || '(')
              WHERE w.class IN ('pg_proc'::regclass, 'pg_operator'::regclass)
                AND NOT EXISTS (SELECT FROM dadbs_internal.definition k WHERE k.class = w.class AND k.object = w.object)
                AND NOT EXISTS (SELECT FROM pg_proc p WHERE w.class = 'pg_proc'::regclass AND p.oid = w.object
                                  AND starts_with(p.oid::regprocedure::text, w.shown || '(') AND p.oid::regprocedure::text <> d.name)
        UNION SELECT d.class, d.object, d.part, d.key FROM w JOIN dadbs_internal.definition d ON d.body ->> 'constraint' = w.shown
              WHERE w.class = 'pg_constraint'::regclass AND d.class = 'pg_trigger'::regclass
                AND NOT EXISTS (SELECT FROM dadbs_internal.definition k WHERE k.class = w.class AND k.object = w.object)
        UNION SELECT d.class, d.object, d.part, d.key FROM ended JOIN dadbs_internal.definition d ON d.of = ended.shown WHERE ended.class = 'pg_class'::regclass
        UNION SELECT d.class, d.object, d.part, d.key FROM ended JOIN dadbs_internal.definition d ON starts_with(d.name, ended.shown || '.') OR starts_with(d.of, ended.shown || '.')
              WHERE ended.class = 'pg_namespace'::regclass)
    DELETE FROM dadbs_internal.definition d USING o
    WHERE d.class = o.class AND d.object = o.object AND d.part = o.part AND d.key = o.key AND NOT dadbs_internal.definition_is_live(o.class, o.object, o.part, o.key);
END
$$;

-- At the end of a position that executed a definition: what it left of the objects whose catalog rows it wrote (touched). `relations` are those
-- that they belong to. What else is recorded of a table stays as it was, so that damage does not become the rule by the next definition. Without
-- arrays: all that there is.
CREATE FUNCTION dadbs_internal.keep_definitions(classes oid[], objects oid[], parts integer[], relations oid[], names text[], schemas oid[], height bigint, index integer, bodies boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    at_height CONSTANT bigint := height;
    at_index CONSTANT integer := index;
    around_classes oid[];
    around_objects oid[];
BEGIN
    IF classes IS NULL THEN
        INSERT INTO dadbs_internal.definition AS d
            SELECT l.class, l.object, l.part, l.key, l.kind, l.name, l.of, l.digest, CASE WHEN bodies THEN dadbs_internal.definition_body(l.kind, l.class, l.object, l.part, l.key) END, at_height, at_index
            FROM dadbs_internal.all_live_definitions() l;
        RETURN;
    END IF;
    PERFORM dadbs_internal.forget_definitions(classes, objects, parts, relations, names, schemas);
    WITH g AS MATERIALIZED (SELECT DISTINCT * FROM unnest(classes, objects, parts, relations, names) AS g(class, object, part, relation, name)),
    -- The table of an index, and the names that it has and had, are in different rows.
    x AS (SELECT o.object, coalesce(i.indrelid, g.relation) AS relation
          FROM (SELECT DISTINCT g.object FROM g WHERE g.class IN ('pg_class'::regclass, 'pg_index'::regclass) AND g.part = 0) o
               LEFT JOIN pg_index i ON i.indexrelid = o.object LEFT JOIN g ON g.object = o.object AND g.class = 'pg_index'::regclass),
    t AS MATERIALIZED (
        SELECT DISTINCT g.class, g.object, g.part, '' AS key FROM g WHERE g.class <> 'pg_index'::regclass
        UNION SELECT 'pg_index'::regclass, x.relation, 0, g.name FROM x JOIN g ON g.object = x.object AND g.class = 'pg_class'::regclass AND g.part = 0 WHERE x.relation IS NOT NULL
        UNION SELECT 'pg_index'::regclass, x.relation, 0, c.relname FROM x JOIN pg_class c ON c.oid = x.object WHERE x.relation IS NOT NULL),
    l AS MATERIALIZED (
        SELECT * FROM dadbs_internal.live_definitions(
            relations || ARRAY(SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = ANY (relations)),
            ARRAY(SELECT t.object FROM t WHERE t.class = 'pg_proc'::regclass), ARRAY(SELECT t.object FROM t WHERE t.class = 'pg_type'::regclass),
            ARRAY(SELECT t.object FROM t WHERE t.class = 'pg_operator'::regclass), ARRAY(SELECT t.object FROM t WHERE t.class = 'pg_statistic_ext'::regclass),
            ARRAY(SELECT t.object FROM t WHERE t.class = 'pg_namespace'::regclass))),
    known AS MATERIALIZED (SELECT d.* FROM dadbs_internal.definition d JOIN t USING (class, object, part, key)),
    gone AS (DELETE FROM dadbs_internal.definition d USING t
             WHERE d.class = t.class AND d.object = t.object AND d.part = t.part AND d.key = t.key
               AND NOT EXISTS (SELECT FROM l WHERE l.class = t.class AND l.object = t.object AND l.part = t.part AND l.key = t.key)),
    put AS (INSERT INTO dadbs_internal.definition AS d
            SELECT l.class, l.object, l.part, l.key, l.kind, l.name, l.of, l.digest, CASE WHEN bodies THEN dadbs_internal.definition_body(l.kind, l.class, l.object, l.part, l.key) END, at_height, at_index
            FROM l JOIN t USING (class, object, part, key) LEFT JOIN known k USING (class, object, part, key) WHERE l.digest IS DISTINCT FROM k.digest
            ON CONFLICT (class, object, part, key) DO UPDATE SET kind = excluded.kind, name = excluded.name, of = excluded.of, digest = excluded.digest, body = excluded.body,
                                                            height = excluded.height, index = excluded.index)
    SELECT array_agg(l.class), array_agg(l.object) INTO around_classes, around_objects
    FROM l JOIN known k USING (class, object, part, key) WHERE l.digest <> k.digest AND (l.name <> k.name OR l.of IS DISTINCT FROM k.of OR l.kind = 'type');
    IF around_classes IS NULL THEN
        RETURN;
    END IF;
    -- Something has another name now. Others that name it mean the same, and read differently.
    WITH n AS MATERIALIZED (SELECT * FROM dadbs_internal.named_by(around_classes, around_objects)),
    l AS MATERIALIZED (
        SELECT * FROM dadbs_internal.live_definitions(
            ARRAY(SELECT coalesce(i.indrelid, n.object) FROM n LEFT JOIN pg_index i ON i.indexrelid = n.object WHERE n.class = 'pg_class'::regclass
                  UNION SELECT g.tgrelid FROM n JOIN pg_trigger g ON g.oid = n.object WHERE n.class = 'pg_trigger'::regclass
                  UNION SELECT p.polrelid FROM n JOIN pg_policy p ON p.oid = n.object WHERE n.class = 'pg_policy'::regclass),
            ARRAY(SELECT n.object FROM n WHERE n.class = 'pg_proc'::regclass), ARRAY(SELECT n.object FROM n WHERE n.class = 'pg_type'::regclass),
            ARRAY(SELECT n.object FROM n WHERE n.class = 'pg_operator'::regclass), ARRAY(SELECT n.object FROM n WHERE n.class = 'pg_statistic_ext'::regclass),
            ARRAY(SELECT n.object FROM n WHERE n.class = 'pg_namespace'::regclass)))
    UPDATE dadbs_internal.definition d SET name = l.name, of = l.of, body = CASE WHEN bodies THEN b.body END
    FROM l, LATERAL (SELECT dadbs_internal.definition_body(l.kind, l.class, l.object, l.part, l.key) AS body OFFSET 0) b
    WHERE d.class = l.class AND d.object = l.object AND d.part = l.part AND d.key = l.key AND d.digest = l.digest
      AND (d.name, d.of, d.body) IS DISTINCT FROM (l.name, l.of, CASE WHEN bodies THEN b.body END);
END
$$;

CREATE FUNCTION dadbs_internal.all_live_definitions()
RETURNS TABLE (class oid, object oid, part integer, key text, kind text, name text, of text, digest text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT * FROM dadbs_internal.live_definitions(
        ARRAY(SELECT c.oid FROM pg_class c WHERE c.oid >= 16384), ARRAY(SELECT p.oid FROM pg_proc p WHERE p.oid >= 16384),
        ARRAY(SELECT y.oid FROM pg_type y WHERE y.oid >= 16384), ARRAY(SELECT o.oid FROM pg_operator o WHERE o.oid >= 16384),
        ARRAY(SELECT x.oid FROM pg_statistic_ext x), ARRAY(SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_'))
$$;

-- When the workers start: once.
CREATE FUNCTION dadbs_internal.take_definitions() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    IF EXISTS (SELECT FROM dadbs_internal.definition_gap g WHERE g.height = 0) THEN
        RETURN;
    END IF;
    DELETE FROM dadbs_internal.definition;
    PERFORM dadbs_internal.keep_definitions(NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, true);
    INSERT INTO dadbs_internal.definition_gap VALUES (0, 0, NULL);
END
$$;

-- The value that nextval() would give, were there no bounds. Null: not to be had at the moment.
CREATE FUNCTION dadbs_internal.sequence_next(sequence oid) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_sequence_next';

-- Of each shared one; damaged: its file cannot be read.
CREATE FUNCTION dadbs_internal.read_sequences() RETURNS TABLE (sequence oid, next_value bigint, damaged boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    FOR sequence IN SELECT s.seqrelid FROM pg_sequence s WHERE dadbs_internal.is_shared_object('pg_class'::regclass, s.seqrelid) LOOP
        damaged := false;
        BEGIN
            next_value := dadbs_internal.sequence_next(sequence);
        EXCEPTION WHEN OTHERS THEN
            next_value := NULL;
            damaged := EXISTS (SELECT FROM pg_class c WHERE c.oid = sequence);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Forward only: what is lower than it was has been set back.
CREATE FUNCTION dadbs_internal.note_sequences() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    INSERT INTO dadbs_internal.sequence_mark AS m
        SELECT c.oid, c.relfilenode, v.next_value, dadbs.applied_height(), clock_timestamp()
        FROM dadbs_internal.read_sequences() v JOIN pg_sequence s ON s.seqrelid = v.sequence JOIN pg_class c ON c.oid = s.seqrelid
        WHERE v.next_value IS NOT NULL AND NOT s.seqcycle
          AND NOT EXISTS (SELECT FROM dadbs_internal.sequence_mark k WHERE k.sequence = c.oid AND k.file = c.relfilenode
                            AND CASE WHEN s.seqincrement > 0 THEN k.next_value >= v.next_value ELSE k.next_value <= v.next_value END)
        ON CONFLICT (sequence) DO UPDATE SET file = excluded.file, next_value = excluded.next_value, height = excluded.height, noted_at = excluded.noted_at;
    DELETE FROM dadbs_internal.sequence_mark m WHERE NOT EXISTS (SELECT FROM pg_sequence s WHERE s.seqrelid = m.sequence);
$$;

-- Set back since: not by a file of its own (RESTART), not by a setval of this member's that went over the chain. Or damaged.
CREATE FUNCTION dadbs_internal.sequences_set_back() RETURNS TABLE (sequence oid, name text, mark bigint, found bigint, up boolean, height bigint, damaged boolean)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH b AS MATERIALIZED (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, m.next_value AS mark, v.next_value AS found, s.seqincrement > 0 AS up, m.height, v.damaged
    FROM dadbs_internal.read_sequences() v JOIN pg_sequence s ON s.seqrelid = v.sequence JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN dadbs_internal.sequence_mark m ON m.sequence = c.oid AND m.file = c.relfilenode
    WHERE v.damaged OR NOT s.seqcycle AND CASE WHEN s.seqincrement > 0 THEN v.next_value < m.next_value ELSE v.next_value > m.next_value END)
    -- Not asked of the whole history unless there is one.
    SELECT b.* FROM b WHERE b.damaged OR NOT EXISTS (SELECT FROM dadbs.changes h
                                        WHERE h.height >= b.height AND h.operation = 'SETVAL' AND h.relation = b.name
                                          AND h.origin = (SELECT o.name FROM dadbs.nodes o WHERE o.is_self) OFFSET 0)
$$;

-- The largest (or least) value of a column, asked as the owner of the table, who can do no harm by it. Only of tables.
CREATE FUNCTION dadbs_internal.column_extreme(relation oid, attribute name, up boolean) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_column_extreme';

-- The last value that is known to be used: before the next one of the mark, and in the rows of the column that it fills.
CREATE FUNCTION dadbs_internal.sequence_used(sequence oid, mark bigint, up boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    r record;
    used bigint := mark - (SELECT s.seqincrement FROM pg_sequence s WHERE s.seqrelid = sequence);
    seen bigint;
BEGIN
    FOR r IN SELECT c.oid AS relation, a.attname FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class c ON c.oid = a.attrelid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = sequence AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
               AND c.relkind IN ('r', 'p') AND dadbs_internal.is_shared_object('pg_class'::regclass, c.oid)
               AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) LOOP
        BEGIN
            seen := dadbs_internal.column_extreme(r.relation, r.attname, up);
        EXCEPTION WHEN OTHERS THEN
            seen := NULL;  -- not known
        END;
        used := CASE WHEN up THEN greatest(used, seen) ELSE least(used, seen) END;
    END LOOP;
    RETURN used;
END
$$;

-- ---- what is found, and what puts it back -----------------------------------------------------------------------------------------

-- What is different of it; all of it where there is nothing to compare with.
CREATE FUNCTION dadbs_internal.definition_shown(body jsonb, other jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT string_agg(CASE e.key WHEN 'definition' THEN e.value ELSE e.key || ': ' || coalesce(e.value, 'none') END, '; ' ORDER BY e.key <> 'definition', e.key)
    FROM jsonb_each_text($1) e WHERE $2 IS NULL OR ($1 -> e.key) IS DISTINCT FROM ($2 -> e.key)
$$;

CREATE FUNCTION dadbs_internal.column_repair(name text, of text, e jsonb, f jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT CASE
        WHEN f IS NULL THEN format('ALTER TABLE %s ADD COLUMN %s %s%s', of, name, e ->> 'type', CASE WHEN (e ->> 'generated')::boolean
            THEN format(' GENERATED ALWAYS AS (%s) STORED', e ->> 'default') ELSE coalesce(' DEFAULT ' || (e ->> 'default'), '') END)
        WHEN (e -> 'generated') <> (f -> 'generated') OR (e -> 'identity') IS DISTINCT FROM (f -> 'identity') THEN NULL
        ELSE 'ALTER TABLE ' || of || ' ' || nullif(concat_ws(', ',
            CASE WHEN (e ->> 'type', e ->> 'collation') IS DISTINCT FROM (f ->> 'type', f ->> 'collation')
                 THEN format('ALTER COLUMN %s TYPE %s%s USING %1$s::%2$s', name, e ->> 'type', coalesce(' COLLATE ' || (e ->> 'collation'), '')) END,
            CASE WHEN (e -> 'default') IS NOT DISTINCT FROM (f -> 'default') OR (e ->> 'generated')::boolean THEN NULL
                 WHEN e ->> 'default' IS NULL THEN format('ALTER COLUMN %s DROP DEFAULT', name)
                 ELSE format('ALTER COLUMN %s SET DEFAULT %s', name, e ->> 'default') END,
            CASE WHEN (e -> 'not null') = (f -> 'not null') THEN NULL WHEN (e ->> 'not null')::boolean THEN format('ALTER COLUMN %s SET NOT NULL', name)
                 ELSE format('ALTER COLUMN %s DROP NOT NULL', name) END,
            CASE WHEN (e -> 'storage') <> (f -> 'storage') THEN format('ALTER COLUMN %s SET STORAGE %s', name,
                 CASE e ->> 'storage' WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END), '') END
$$;

CREATE FUNCTION dadbs_internal.options_shown(options jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT format(' WITH (%s)', string_agg(format('%I = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', '))
    FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof($1) = 'array' THEN $1 END) o HAVING count(*) > 0
$$;

-- Statements that put it back, separated by ";\n"; null: by hand, as where it has another name, and functions, views and types that are missing:
-- made again they would have the privileges that everything new has (EXECUTE for all) in place of those that the group gave; or where they were
-- made again, otherwise; or a column that would not come to its place. e: expected, f: found.
CREATE FUNCTION dadbs_internal.definition_repair(kind text, object oid, name text, of text, problem text, e jsonb, f jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    owned CONSTANT text := CASE kind WHEN 'function' THEN 'ROUTINE' ELSE upper(kind) END;
    owner text;
    made text;
BEGIN
    IF problem <> 'extra' AND (e IS NULL OR e ?| '{name,made again,place}') THEN
        RETURN NULL;
    END IF;
    IF e ->> 'owner' IS DISTINCT FROM f ->> 'owner' AND problem <> 'extra' THEN
        owner := format('ALTER %s %s OWNER TO %s', owned, name, e ->> 'owner');
    END IF;
    IF problem = 'different' AND (e -> 'definition') = (f -> 'definition') AND kind IN ('view', 'type', 'sequence', 'aggregate', 'function', 'schema')
       AND NOT (kind = 'view' AND (e -> 'options') IS DISTINCT FROM (f -> 'options')) THEN
        RETURN owner;
    END IF;
    CASE kind
    WHEN 'trigger' THEN
        IF problem = 'extra' THEN
            made := CASE WHEN f ->> 'constraint' IS NULL THEN format('DROP TRIGGER %s ON %s', name, of) END;
        ELSIF problem = 'missing' OR (e -> 'definition') <> (f -> 'definition') THEN
            IF e ->> 'constraint' IS NULL THEN
                made := CASE WHEN problem = 'different' THEN format(E'DROP TRIGGER %s ON %s;\n', name, of) ELSE '' END || (e ->> 'definition');
                f := '{"enabled": "O"}';
            END IF;
        END IF;
        IF problem <> 'extra' AND (e -> 'enabled') IS DISTINCT FROM (f -> 'enabled') AND f IS NOT NULL THEN
            made := concat_ws(E';\n', made, format('ALTER TABLE %s %s TRIGGER %s', of,
                CASE e ->> 'enabled' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END,
                coalesce((SELECT quote_ident(g.tgname) FROM pg_trigger g WHERE g.oid = object AND g.tgisinternal), name)));
        END IF;
    WHEN 'constraint' THEN
        made := concat_ws(E';\n', CASE WHEN problem <> 'missing' THEN format('ALTER %s %s DROP CONSTRAINT %s', CASE WHEN (f ->> 'domain')::boolean THEN 'DOMAIN' ELSE 'TABLE' END, of, name) END,
                          CASE WHEN problem <> 'extra' THEN format('ALTER %s %s ADD CONSTRAINT %s %s', CASE WHEN (e ->> 'domain')::boolean THEN 'DOMAIN' ELSE 'TABLE' END, of, name,
                                                                   e ->> 'definition') END);
        IF coalesce((e ->> 'inherited')::boolean, (f ->> 'inherited')::boolean) THEN
            made := NULL;  -- by that of the table that it is a partition of
        ELSIF problem = 'different' AND f ->> 'definition' = (e ->> 'definition') || ' NOT VALID' THEN
            made := format('ALTER %s %s VALIDATE CONSTRAINT %s', CASE WHEN (e ->> 'domain')::boolean THEN 'DOMAIN' ELSE 'TABLE' END, of, name);
        END IF;
    WHEN 'index' THEN
        IF problem = 'different' AND (e -> 'definition') = (f -> 'definition') AND (e ->> 'valid')::boolean THEN
            made := CASE WHEN (f ->> 'valid')::boolean THEN NULL ELSE format('REINDEX INDEX %s', name) END;
        ELSIF NOT coalesce((e ->> 'constraint')::boolean, false) AND NOT coalesce((f ->> 'constraint')::boolean, false) THEN
            made := concat_ws(E';\n', CASE WHEN problem <> 'missing' THEN 'DROP INDEX ' || name END, CASE WHEN problem <> 'extra' THEN e ->> 'definition' END);
        END IF;
    WHEN 'column' THEN
        made := CASE WHEN problem = 'extra' THEN format('ALTER TABLE %s DROP COLUMN %s', of, name) ELSE dadbs_internal.column_repair(name, of, e, f) END;
    WHEN 'policy' THEN
        made := concat_ws(E';\n', CASE WHEN problem <> 'missing' THEN format('DROP POLICY %s ON %s', name, of) END,
                          CASE WHEN problem <> 'extra' THEN format('CREATE POLICY %s ON %s %s', name, of, e ->> 'definition') END);
    WHEN 'rule' THEN
        made := CASE WHEN problem = 'extra' THEN format('DROP RULE %s ON %s', name, of) END;
    WHEN 'function' THEN
        made := CASE problem WHEN 'extra' THEN 'DROP ROUTINE ' || name WHEN 'different' THEN e ->> 'definition' END;
    WHEN 'view' THEN
        made := CASE problem WHEN 'extra' THEN 'DROP VIEW ' || name
                            WHEN 'different' THEN format('CREATE OR REPLACE VIEW %s%s AS %s', name, dadbs_internal.options_shown(e -> 'options'), rtrim(e ->> 'definition', ';')) END;
    WHEN 'sequence' THEN
        made := CASE problem WHEN 'extra' THEN 'DROP SEQUENCE ' || name WHEN 'missing' THEN NULL ELSE format('ALTER SEQUENCE %s %s', name, e ->> 'definition') END;
    WHEN 'table' THEN
        IF problem = 'different' THEN
            made := nullif(concat_ws(E';\n',
                CASE WHEN (e -> 'row security') <> (f -> 'row security') THEN format('ALTER TABLE %s %s ROW LEVEL SECURITY', name, CASE WHEN (e ->> 'row security')::boolean THEN 'ENABLE' ELSE 'DISABLE' END) END,
                CASE WHEN (e -> 'forced') <> (f -> 'forced') THEN format('ALTER TABLE %s %s ROW LEVEL SECURITY', name, CASE WHEN (e ->> 'forced')::boolean THEN 'FORCE' ELSE 'NO FORCE' END) END,
                CASE WHEN (e ->> 'replica identity') = 'd' AND (f ->> 'replica identity') <> 'd' THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', name) END), '');
        ELSIF problem = 'extra' THEN
            made := 'DROP TABLE ' || name;
        END IF;
    WHEN 'statistics' THEN
        made := concat_ws(E';\n', CASE WHEN problem <> 'missing' THEN 'DROP STATISTICS ' || name END, CASE WHEN problem <> 'extra' THEN e ->> 'definition' END);
    ELSE
        made := NULL;
    END CASE;
    RETURN nullif(concat_ws(E';\n', made, CASE WHEN made IS NOT NULL OR problem = 'different' THEN owner END), '');
END
$$;

-- Which of a table's recorded columns it is: of the record (expected), and now. Values that are named by their place go by that.
CREATE FUNCTION dadbs_internal.column_places(was_object oid, was_part integer, object oid, part integer) RETURNS TABLE (expected bigint, found bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET quote_all_identifiers = off
AS $$
    SELECT 1 + count(*) FILTER (WHERE d.part < $2), 1 + count(*) FILTER (WHERE a.attnum < $4)
    FROM dadbs_internal.definition d JOIN pg_attribute a ON a.attrelid = $3 AND a.attnum > 0 AND NOT a.attisdropped AND quote_ident(a.attname) = d.name
    WHERE d.class = 'pg_class'::regclass AND d.object = $1 AND d.kind = 'column' AND d.part <> $2
$$;

-- What has another digest than its record, or no record, or is not there; what it is here, and at which address (was_: of the record). Two objects
-- of one name are one: what was dropped and made again is as it was, whatever its number.
CREATE FUNCTION dadbs_internal.compared_definitions()
RETURNS TABLE (class oid, object oid, part integer, key text, was_class oid, was_object oid, was_part integer, was_key text, kind text, name text, of text, digest text, renamed boolean,
               problem text, expected jsonb, found jsonb, height bigint, index integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH j AS MATERIALIZED (
        SELECT class, object, part, key, d.kind AS d_kind, d.name AS d_name, d.of AS d_of, d.digest AS d_digest, d.body, d.height, d.index,
               l.kind, l.name, l.of, l.digest
        FROM dadbs_internal.definition d FULL JOIN dadbs_internal.all_live_definitions() l USING (class, object, part, key)
        WHERE d.digest IS DISTINCT FROM l.digest),
    lost AS (SELECT *, coalesce(d_of, '') AS k FROM j WHERE digest IS NULL),
    new AS (SELECT *, coalesce(of, '') AS k FROM j WHERE d_digest IS NULL),
    b AS (
        SELECT class, object, part, key, class AS was_class, object AS was_object, part AS was_part, key AS was_key, kind, d_name AS name, of, digest,
               name AS found_name, name <> d_name AS renamed, body AS expected, height, index
        FROM j WHERE digest IS NOT NULL AND d_digest IS NOT NULL
        UNION ALL
        SELECT n.class, n.object, n.part, n.key, o.class, o.object, o.part, o.key, coalesce(n.kind, o.d_kind), coalesce(n.name, o.d_name), coalesce(n.of, o.d_of), n.digest,
               n.name, false, o.body, o.height, o.index
        FROM lost o FULL JOIN new n ON n.kind = o.d_kind AND n.name = o.d_name AND n.k = o.k)
    SELECT b.class, b.object, b.part, b.key, b.was_class, b.was_object, b.was_part, b.was_key, b.kind, b.name, b.of, b.digest, b.renamed,
           CASE WHEN b.object IS NULL THEN 'missing' WHEN b.was_object IS NULL THEN 'extra' ELSE 'different' END,
           b.expected || CASE WHEN b.renamed THEN jsonb_build_object('name', b.name) ELSE '{}' END || CASE WHEN k.expected <> k.found THEN jsonb_build_object('place', k.expected) ELSE '{}' END,
           CASE WHEN b.object IS NOT NULL THEN dadbs_internal.definition_body(b.kind, b.class, b.object, b.part, b.key)
                                               || CASE WHEN b.renamed THEN jsonb_build_object('name', b.found_name) ELSE '{}' END
                                               || CASE WHEN k.expected <> k.found THEN jsonb_build_object('place', k.found) ELSE '{}' END END,
           b.height, b.index
    FROM b LEFT JOIN LATERAL (  -- a missing one would come last
        SELECT * FROM dadbs_internal.column_places(b.was_object, b.was_part, coalesce(b.object, b.was_object), coalesce(b.part, 32767))
        WHERE b.kind = 'column' AND b.was_object IS NOT NULL AND (b.object, b.part) IS DISTINCT FROM (b.was_object, b.was_part)) k ON true
$$;

-- One row for each that differs.
CREATE FUNCTION dadbs_internal.changed_definitions()
RETURNS TABLE (object oid, part integer, kind text, name text, of text, problem text, expected jsonb, found jsonb, height bigint, index integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH p AS MATERIALIZED (SELECT * FROM dadbs_internal.compared_definitions())
    -- Where another was made in its place, its privileges are not the group's either.
    SELECT coalesce(p.object, p.was_object), coalesce(p.was_part, p.part), p.kind, p.name, p.of, p.problem, p.expected || CASE WHEN m.again THEN '{"made again": "no"}'::jsonb ELSE '{}' END,
           p.found || CASE WHEN m.again THEN '{"made again": "yes"}'::jsonb ELSE '{}' END, p.height, p.index
    FROM p, LATERAL (SELECT coalesce(p.kind IN ('function', 'view') AND p.object <> p.was_object, false) AS again) m
    WHERE (p.problem <> 'different' OR p.expected IS NULL OR p.found IS NULL OR p.expected <> p.found)
      -- What went or came with something else is told by that.
      AND NOT (p.problem <> 'different' AND EXISTS (SELECT FROM p q WHERE q.problem = p.problem AND q.name = p.of AND q.of IS NULL))
      AND NOT (p.problem <> 'different' AND p.kind = 'index' AND coalesce(p.expected, p.found) -> 'constraint' = 'true')
      AND NOT (p.problem <> 'different' AND p.kind = 'trigger' AND EXISTS (
            SELECT FROM p q WHERE q.problem = p.problem AND q.kind = 'constraint' AND q.name = coalesce(p.expected, p.found) ->> 'constraint'))
$$;

-- What was made again, as it was, has another number, or another digest: the record gets it, or it would stay when the group replaces, renames or drops the object. An expression
-- may read otherwise after it was made from its own text: of what a repair has just made (repaired) that is the record now.
CREATE FUNCTION dadbs_internal.settle_definitions(repaired text[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH c AS MATERIALIZED (
        SELECT * FROM dadbs_internal.compared_definitions() c
        WHERE c.problem = 'different' AND NOT c.renamed
          AND (c.expected = c.found
               OR c.kind || ' ' || concat_ws(' ON ', c.name, c.of) = ANY ($1) AND c.kind IN ('column', 'constraint', 'index', 'trigger', 'policy', 'view', 'function', 'statistics')
                  AND (c.expected ->> 'generated') IS DISTINCT FROM 'true' AND c.expected - 'definition' - 'default' = c.found - 'definition' - 'default'))
    UPDATE dadbs_internal.definition d SET object = c.object, part = c.part, key = c.key, digest = c.digest, body = c.found
    FROM c
    WHERE d.class = c.was_class AND d.object = c.was_object AND d.part = c.was_part AND d.key = c.was_key
      AND (d.digest <> c.digest OR c.expected <> c.found OR (c.object, c.part, c.key) <> (c.was_object, c.was_part, c.was_key))
$$;

-- No row: there is something to compare with. What has no record for another reason would be taken for something that nobody defined.
CREATE FUNCTION dadbs_internal.why_not_compared() RETURNS TABLE (reason text, hint text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'definitions were not taken yet', 'Apply does it when it starts.'
    WHERE NOT EXISTS (SELECT FROM dadbs_internal.definition_gap g WHERE g.height = 0)
    UNION ALL
    (SELECT format('definitions cannot be compared: those of block %s, position %s could not be kept: %s', g.height, g.index, g.reason),
            'Compare this member''s with another''s by hand. TRUNCATE dadbs_internal.definition_gap and a restart take what is there then.'
     FROM dadbs_internal.definition_gap g WHERE g.reason IS NOT NULL ORDER BY g.height LIMIT 1)
    LIMIT 1
$$;

CREATE FUNCTION dadbs.verify_definitions()
RETURNS TABLE (object text, kind text, problem text, expected text, found text, height bigint, "position" integer, transaction_id text, repair text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    gap record;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'definitions are compared by a transaction that has changed nothing' USING ERRCODE = 'active_sql_transaction', HINT = 'Call it in a transaction of its own.';
    END IF;
    SELECT w.* INTO gap FROM dadbs_internal.why_not_compared() w;
    IF FOUND THEN
        RAISE NOTICE '%', gap.reason USING HINT = gap.hint;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT concat_ws(' ON ', c.name, c.of), c.kind, c.problem, dadbs_internal.definition_shown(c.expected, CASE WHEN c.problem = 'different' THEN c.found END),
               dadbs_internal.definition_shown(c.found, CASE WHEN c.problem = 'different' THEN c.expected END), nullif(c.height, 0), CASE WHEN c.height > 0 THEN c.index END,
               (SELECT t.origin || '.' || t.incarnation || '.' || t.number FROM dadbs_internal.transaction t WHERE t.height = c.height AND t.index = c.index),
               dadbs_internal.definition_repair(c.kind, c.object, c.name, c.of, c.problem, c.expected, c.found)
        FROM dadbs_internal.changed_definitions() c ORDER BY 1, 2, 3;
    RETURN QUERY
        SELECT s.name, 'sequence', CASE WHEN s.damaged THEN 'unreadable' ELSE 'set back' END, 'goes on with ' || s.mark, 'goes on with ' || s.found, s.height, NULL::integer, NULL::text,
               CASE WHEN NOT s.damaged THEN format('SELECT setval(%L, %s)', s.name, dadbs_internal.sequence_used(s.sequence, s.mark, s.up)) END
        FROM dadbs_internal.sequences_set_back() s ORDER BY 1;
END
$$;
COMMENT ON FUNCTION dadbs.verify_definitions() IS
    'names each shared definition that is not as the chain left it on this member, and sequences that were set back; repair is what puts it back';

CREATE FUNCTION dadbs.rebuild_definitions() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    r record;
    done bigint := 0;
    before bigint;
    failed text;
    repaired text[] := '{}';
BEGIN
    PERFORM dadbs_internal.take_turn();
    SELECT w.* INTO r FROM dadbs_internal.why_not_compared() w;
    IF FOUND THEN
        RAISE EXCEPTION '%', r.reason USING ERRCODE = 'object_not_in_prerequisite_state', HINT = r.hint;
    END IF;
    -- One may need another. What was made is not made again, though it may read otherwise.
    FOR pass IN 1 .. 3 LOOP
        before := done;
        failed := NULL;
        FOR r IN SELECT c.kind, c.shown, dadbs_internal.definition_repair(c.kind, c.object, c.name, c.of, c.problem, c.expected, c.found) AS repair
                 FROM (SELECT *, concat_ws(' ON ', c.name, c.of) AS shown FROM dadbs_internal.changed_definitions() c) c WHERE c.kind || ' ' || c.shown <> ALL (repaired)
                 ORDER BY array_position('{type,function,aggregate,sequence,table,column,index,constraint,view,trigger,policy}'::text[], c.kind), c.problem = 'extra', c.part, c.name LOOP
            IF r.repair IS NULL THEN
                failed := concat_ws(', ', failed, r.shown || ' (by hand)');
                CONTINUE;
            END IF;
            BEGIN
                PERFORM dadbs_internal.execute_locally(r.repair, r.kind IN ('constraint', 'index', 'column'));
                done := done + 1;
                repaired := repaired || (r.kind || ' ' || r.shown);
            EXCEPTION WHEN OTHERS THEN
                failed := concat_ws(', ', failed, r.shown || ' (' || SQLERRM || ')');
            END;
        END LOOP;
        EXIT WHEN failed IS NULL OR done = before;
    END LOOP;
    PERFORM dadbs_internal.settle_definitions(repaired);
    SELECT concat_ws(', ', failed, string_agg(concat_ws(' ON ', c.name, c.of) || ' (still ' || c.problem || ')', ', ')) INTO failed
        FROM dadbs_internal.changed_definitions() c WHERE c.kind || ' ' || concat_ws(' ON ', c.name, c.of) = ANY (repaired);
    FOR r IN SELECT * FROM dadbs_internal.sequences_set_back() s LOOP
        IF r.damaged THEN
            failed := concat_ws(', ', nullif(failed, ''), r.name || ' (unreadable)');
            CONTINUE;
        END IF;
        PERFORM dadbs_internal.move_sequence(r.sequence, dadbs_internal.sequence_used(r.sequence, r.mark, r.up));
        done := done + 1;
    END LOOP;
    IF failed <> '' THEN
        RAISE WARNING 'not put back: %', failed;
    END IF;
    RETURN done;
END
$$;
COMMENT ON FUNCTION dadbs.rebuild_definitions() IS
    'puts back, on this member alone, what verify_definitions() names; returns how many it was. Rows that were lost with a column are rebuild_table()''s';

CREATE FUNCTION dadbs_internal.take_turn() RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_take_turn';
