-- Shared definitions: roles, sequences, tables that stay local.

-- The role that owns what superusers make in shared schemas. It cannot log in. One role per server: it survives DROP
-- EXTENSION, and with it what it owns.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'dadbs_owner') THEN
        CREATE ROLE dadbs_owner NOLOGIN;
        COMMENT ON ROLE dadbs_owner IS 'owns shared objects that superusers make (dadbs)';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles
               WHERE rolname = 'dadbs_owner'
                 AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)) THEN
        RAISE EXCEPTION 'role dadbs_owner has privileges that it must not have'
            USING HINT = 'ALTER ROLE dadbs_owner NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS NOLOGIN;';
    END IF;
    EXECUTE pg_catalog.format('GRANT CREATE ON DATABASE %I TO dadbs_owner', pg_catalog.current_database());
END
$$;

-- What a member holds before it is configured: shared schemas, and what superusers made in them, belong to dadbs_owner, so
-- that statements which travel may change them; ordinary owners become roles of the group. No schemas: all user schemas.
-- create_cluster and join_cluster call it.
CREATE FUNCTION dadbs_internal.take_over(schemas text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    IF cardinality(schemas) = 0 THEN
        schemas := ARRAY(SELECT nspname FROM pg_namespace
                         WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'dadbs', 'dadbs_internal', 'dadbs_kept'));
    END IF;
    FOR r IN
        SELECT format('ALTER SCHEMA %I OWNER TO dadbs_owner', n.nspname) AS command
        FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
        WHERE n.nspname = ANY (schemas) AND (o.rolsuper OR o.rolname = 'pg_database_owner')
        UNION ALL
        SELECT format('ALTER %s %I.%I OWNER TO dadbs_owner',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                     ELSE 'TABLE' END, n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner
        WHERE n.nspname = ANY (schemas) AND o.rolsuper AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                            AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
          AND NOT EXISTS (SELECT FROM dadbs_internal.local_relation l
                          WHERE l.schema_name = n.nspname AND l.relation_name = c.relname)
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO dadbs_owner', p.oid::regprocedure)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner
        WHERE n.nspname = ANY (schemas) AND o.rolsuper
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO dadbs_owner', t.oid::regtype)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_roles o ON o.oid = t.typowner
        WHERE n.nspname = ANY (schemas) AND o.rolsuper AND t.typtype IN ('c', 'd', 'e', 'r')
          AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    LOOP
        EXECUTE r.command;
    END LOOP;
    FOR r IN
        SELECT DISTINCT o.rolname
        FROM (SELECT nspowner AS owner FROM pg_namespace WHERE nspname = ANY (schemas)
              UNION SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = ANY (schemas)
              UNION SELECT p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE n.nspname = ANY (schemas)
              UNION SELECT t.typowner FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                    WHERE n.nspname = ANY (schemas)) owners
        JOIN pg_roles o ON o.oid = owners.owner
        WHERE NOT o.rolsuper AND o.rolname <> 'dadbs_owner' AND o.rolname !~ '^pg_'
    LOOP
        INSERT INTO dadbs_internal.role VALUES
            (r.rolname, r.rolname, true, has_database_privilege(r.rolname, current_database(), 'CREATE')) ON CONFLICT DO NOTHING;
        EXECUTE format('GRANT %I TO dadbs_owner WITH ADMIN OPTION', r.rolname);
    END LOOP;
END
$$;

CREATE FUNCTION dadbs.set_local(relation regclass) RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dadbs_set_local';
COMMENT ON FUNCTION dadbs.set_local(regclass) IS
    'keeps a table in a shared schema for this member alone; before anything of it was shared';
REVOKE ALL ON FUNCTION dadbs.set_local(regclass) FROM PUBLIC;

-- What setval() becomes for shared sequences (src/pg/ddl/sequences.cpp).
CREATE FUNCTION dadbs_internal.setval(regclass, bigint) RETURNS bigint
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dadbs_setval';
CREATE FUNCTION dadbs_internal.setval(regclass, bigint, boolean) RETURNS bigint
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dadbs_setval';
