-- class: nondeterminism
-- source: PostgreSQL wiki, Audit trigger: session_user of the worker that applies
-- lines: 2
-- table: accounts
BEGIN
  INSERT INTO audit(id, who, what, at) VALUES (dadbs.transaction_id(), session_user::text, TG_OP, dadbs.block_time());
  RETURN NULL;
END
