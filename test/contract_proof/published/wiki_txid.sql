-- class: nondeterminism
-- source: PostgreSQL wiki, Audit trigger 91plus: txid_current()
-- lines: 2
-- table: accounts
BEGIN
  INSERT INTO audit(id, who, what, at) VALUES (txid_current()::text, NEW.id, TG_OP, dadbs.block_time());
  RETURN NULL;
END
