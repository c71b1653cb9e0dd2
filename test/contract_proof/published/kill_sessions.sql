-- class: unauthorised
-- source: PostgreSQL docs 9.27.2: pg_terminate_backend, denial of service
-- lines: 2
-- arguments: p_pid integer
BEGIN
  PERFORM pg_terminate_backend(p_pid);
END
