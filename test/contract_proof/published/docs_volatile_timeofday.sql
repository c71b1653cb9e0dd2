-- class: nondeterminism
-- source: PostgreSQL docs 38.7 Function volatility categories; 9.9.5 timeofday()
-- lines: 2
-- table: accounts
BEGIN
  INSERT INTO audit(id, who, what, at) VALUES (dadbs.transaction_id(), NEW.id, TG_OP, timeofday()::timestamptz);
  RETURN NULL;
END
