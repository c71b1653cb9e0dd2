-- class: nondeterminism
-- source: PostgreSQL wiki, Audit trigger 91plus: inet_client_addr(), session and application name
-- lines: 2
-- table: orders
BEGIN
  INSERT INTO audit(id, who, what, at) VALUES (dadbs.transaction_id(), inet_client_addr()::text, TG_OP, dadbs.block_time());
  RETURN NULL;
END
