-- class: unauthorised
-- source: PostgreSQL docs 20.11: session_replication_role = replica switches off triggers
-- lines: 2
-- arguments: p_n text
BEGIN
  PERFORM set_config('session_replication_role', 'replica', true);
END
