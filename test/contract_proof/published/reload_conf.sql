-- class: unauthorised
-- source: PostgreSQL docs 9.27.2: pg_reload_conf after ALTER SYSTEM
-- lines: 2
-- arguments: p_n text
BEGIN
  PERFORM pg_reload_conf();
END
