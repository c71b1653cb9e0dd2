-- class: nondeterminism
-- source: PostgreSQL docs, DO: code that nobody has looked at
-- lines: 2
-- arguments: p_n text
BEGIN
  DO $do$ BEGIN PERFORM 1; END $do$;
END
