-- ---- health ------------------------------------------------------------------------------------------------------------
-- The table of faults in docs/operations.md, as it is at this moment: one row for each that a member can see by itself.

CREATE FUNCTION dadbs_internal.setting_is_on(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT current_setting($1, true) IS DISTINCT FROM 'off' $$;

CREATE FUNCTION dadbs.library_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_library_version';
COMMENT ON FUNCTION dadbs.library_version() IS 'of the library that this server runs; pg_extension.extversion is the one of the objects in this database';

CREATE VIEW dadbs.health AS
WITH s AS (SELECT * FROM dadbs.status),
     lost AS (SELECT string_agg(n.name || coalesce(': ' || nullif(n.reason, ''), ''), '; ' ORDER BY n.name) AS names, count(*) AS count
              FROM dadbs.nodes n WHERE NOT n.is_self AND n.state = 'unreachable'),
     differ AS (SELECT string_agg(format('%s at height %s', d.node, d.height), ', ' ORDER BY d.node) AS names
                FROM dadbs.state_digests d WHERE NOT d.equal),
     held AS (SELECT count(*) AS count, min(a.held_since) AS since,
                     (array_agg(a.waiting_for ORDER BY a.held_since))[1] AS waiting_for
              FROM dadbs.stat_activity a WHERE a.held_since < clock_timestamp() - interval '5 s'),
     refused AS (SELECT string_agg(n.name || ': ' || n.reason, '; ' ORDER BY n.name) AS names
                 FROM dadbs.nodes n WHERE n.reason ~ '^it speaks protocol version|^its environment differs'),
     extension AS (SELECT e.extversion AS version, dadbs.library_version() AS library FROM pg_catalog.pg_extension e WHERE e.extname = 'dadbs'),
     off AS (SELECT string_agg(x.name, ', ' ORDER BY x.name) AS names FROM unnest('{fsync,full_page_writes}'::text[]) AS x(name)
             WHERE NOT dadbs_internal.setting_is_on(x.name))
SELECT f.fault, CASE WHEN f.failing THEN 'failing' WHEN f.warning THEN 'warning' ELSE 'ok' END AS state,
       CASE WHEN f.failing OR f.warning THEN f.detail END AS detail
FROM s, lost, refused, extension, differ, held, off, dadbs.catch_up c,
LATERAL (VALUES
  ('no writes', NOT s.can_write, false, concat_ws(': ', s.state, nullif(s.reason, ''), nullif(s.waiting_for, ''))),
  ('members missing', s.connected < s.quorum, lost.count > 0,
   format('%s of %s members are connected, %s are needed%s', s.connected, s.members, s.quorum, '; ' || lost.names)),
  ('other versions', false, refused.names IS NOT NULL, refused.names),
  ('extension version', false, extension.version <> extension.library,
   format('the library is version %s, the objects in this database are version %s', extension.library, extension.version)),
  ('different state', s.state = 'diverged', differ.names IS NOT NULL,
   CASE WHEN s.state = 'diverged' THEN s.reason ELSE 'other members have come to something else: ' || differ.names END),
  ('memory lost', false, s.state = 'rejoining', s.reason),
  ('journal', s.state IN ('unable to journal', 'halted'), false, s.reason),
  ('behind the others', false, s.lag_blocks > 64 OR s.state = 'catching up',
   format('%s blocks behind, %s per second%s', s.lag_blocks, coalesce(c.blocks_per_second::text, '?'), ', ' || c.time_left || ' left')),
  ('wrong blocks', false, coalesce(c.wrong_answers, 0) > 0, format('%s wrong answers of members that were asked for blocks', c.wrong_answers)),
  ('position retried', s.reason LIKE '%is retried:%', s.reason LIKE '%takes more stack%', s.reason),
  ('commits wait', false, held.count > 0,
   format('%s, the longest since %s, for %s', held.count, held.since, coalesce(held.waiting_for, 'something unknown'))),
  ('durability off', off.names IS NOT NULL, false, off.names || ' is off: a power cut may lose what this member has acknowledged and signed')
) AS f (fault, failing, warning, detail);
COMMENT ON VIEW dadbs.health IS 'each fault that operations.md lists, and whether this member has it now: ok, warning, failing; detail says what, and for whom it waits';
