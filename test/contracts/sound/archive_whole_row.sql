-- rule: sound
-- table: orders
BEGIN
  INSERT INTO audit (entry, what, at) VALUES (dadbs.transaction_id() || OLD.id, to_jsonb(OLD)::text, dadbs.block_time());
  IF NEW IS NOT DISTINCT FROM OLD THEN RETURN NULL; END IF;
  INSERT INTO documents SELECT NEW.id, NEW.customer, dadbs.block_time(), 1;
  RETURN NULL;
END
