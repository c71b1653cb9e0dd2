-- class: nondeterminism
-- source: PostgreSQL docs 9.26: pg_backend_pid() of an audit trigger
-- lines: 2
-- table: accounts
BEGIN
  INSERT INTO audit(id, who, what, at) VALUES (dadbs.transaction_id(), pg_backend_pid()::text, TG_OP, dadbs.block_time());
  RETURN NULL;
END
