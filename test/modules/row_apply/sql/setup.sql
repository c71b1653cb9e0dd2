-- What the other tests use: functions of the module, a log that collects changes of schema src, comparison with schema dst.
\getenv libdir PG_LIBDIR
\set module '\'' :libdir '/row_apply_test\''
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS rt CASCADE;
CREATE SCHEMA rt;
CREATE FUNCTION rt.change(op text, old record, new record, unchanged text DEFAULT NULL, target text DEFAULT NULL)
    RETURNS bytea AS :module, 'rt_change' LANGUAGE C;
CREATE FUNCTION rt.log_change() RETURNS trigger AS :module, 'rt_log_change' LANGUAGE C;
CREATE FUNCTION rt.truncate(schema text, name text, restart boolean DEFAULT false)
    RETURNS bytea AS :module, 'rt_truncate' LANGUAGE C STRICT;
CREATE FUNCTION rt.sequence(schema text, name text, value bigint)
    RETURNS bytea AS :module, 'rt_sequence' LANGUAGE C STRICT;
CREATE FUNCTION rt.apply(VARIADIC changes bytea[]) RETURNS integer AS :module, 'rt_apply' LANGUAGE C STRICT;
CREATE FUNCTION rt.keys(VARIADIC changes bytea[], OUT list text, OUT hash text, OUT uses integer)
    RETURNS SETOF record AS :module, 'rt_keys' LANGUAGE C STRICT;
CREATE FUNCTION rt.fits(VARIADIC changes bytea[]) RETURNS boolean AS :module, 'rt_fits' LANGUAGE C STRICT;
CREATE FUNCTION rt.needs_replay(regclass) RETURNS boolean AS :module, 'rt_needs_replay' LANGUAGE C STRICT;
CREATE FUNCTION rt.is_shared(regclass) RETURNS boolean AS :module, 'rt_is_shared' LANGUAGE C STRICT;
CREATE FUNCTION rt.wanted_identity(regclass) RETURNS text AS :module, 'rt_wanted_identity' LANGUAGE C STRICT;
CREATE FUNCTION rt.ins(r anyelement) RETURNS bytea LANGUAGE sql AS $$ SELECT rt.change('I', NULL::record, r) $$;
CREATE FUNCTION rt.del(r anyelement) RETURNS bytea LANGUAGE sql AS $$ SELECT rt.change('D', r, NULL::record) $$;
CREATE FUNCTION rt.upd(o anyelement, n anyelement) RETURNS bytea LANGUAGE sql AS $$ SELECT rt.change('U', o, n) $$;
-- Not shared (dadbs is no user schema), so that the log may be written while changes are made.
CREATE TABLE rt.log (n serial PRIMARY KEY, change bytea NOT NULL);
CREATE FUNCTION rt.try(VARIADIC changes bytea[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    RETURN rt.apply(VARIADIC changes) || ' applied';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || message || CASE WHEN detail <> '' THEN ' / ' || detail ELSE '' END;
END $$;
-- Applies what the log has collected to schema dst, and compares all tables of src and dst.
CREATE FUNCTION rt.replay() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    changes bytea[];
    result text;
    t text;
    differences bigint;
BEGIN
    SELECT coalesce(array_agg(change ORDER BY n), '{}') INTO changes FROM rt.log;
    TRUNCATE rt.log;
    result := rt.try(VARIADIC changes);
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'src'::regnamespace AND relkind IN ('r', 'p')
             AND NOT relispartition ORDER BY 1 LOOP
        EXECUTE format('SELECT count(*) FROM ((SELECT x::text FROM src.%1$I x EXCEPT ALL SELECT x::text FROM dst.%1$I x)
            UNION ALL (SELECT x::text FROM dst.%1$I x EXCEPT ALL SELECT x::text FROM src.%1$I x)) d', t) INTO differences;
        IF differences > 0 THEN result := result || format(', %s differs in %s rows', t, differences); END IF;
    END LOOP;
    RETURN result;
END $$;
-- Runs a definition in src and in dst, and puts the log trigger on new tables of src.
CREATE FUNCTION rt.both(definition text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
BEGIN
    SET LOCAL search_path = dst, public;
    EXECUTE definition;
    SET LOCAL search_path = src, public;
    EXECUTE definition;
    FOR t IN SELECT oid FROM pg_class c WHERE relnamespace = 'src'::regnamespace AND relkind IN ('r', 'p')
             AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'zz_log') LOOP
        EXECUTE format('CREATE TRIGGER zz_log AFTER INSERT OR UPDATE OR DELETE ON %s
            FOR EACH ROW EXECUTE FUNCTION rt.log_change()', t);
    END LOOP;
    RESET search_path;
END $$;
