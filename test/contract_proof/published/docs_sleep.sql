-- class: nondeterminism
-- source: PostgreSQL docs 9.9.6 pg_sleep; CWE-834 (blind injection classic)
-- lines: 2
-- arguments: p_n double precision
BEGIN
  PERFORM pg_sleep(p_n);
END
