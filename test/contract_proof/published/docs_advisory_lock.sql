-- class: nondeterminism
-- source: PostgreSQL docs 13.3.5 Advisory locks
-- lines: 2
-- arguments: p_id bigint
BEGIN
  PERFORM pg_advisory_lock(p_id);
END
