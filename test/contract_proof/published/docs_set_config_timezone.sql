-- class: nondeterminism
-- source: PostgreSQL docs 8.5.3: casts of timestamptz depend on TimeZone
-- lines: 2
-- arguments: p_zone text
BEGIN
  PERFORM set_config('timezone', p_zone, true);
END
