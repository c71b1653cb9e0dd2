-- rule: sound
-- table: shipments
BEGIN
  CASE TG_OP
    WHEN 'INSERT' THEN UPDATE shipments SET state = 'new' WHERE id = NEW.id;
    WHEN 'UPDATE' THEN INSERT INTO audit (entry, what, at) VALUES (NEW.id || ' ' || dadbs.transaction_id(), NEW.state, dadbs.block_time());
    ELSE NULL;
  END CASE;
  RETURN NULL;
END
