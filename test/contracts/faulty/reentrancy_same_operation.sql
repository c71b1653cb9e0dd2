-- rule: reentrancy
-- table: shipments
BEGIN
  IF TG_OP = 'UPDATE' THEN
    UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  END IF;
  RETURN NULL;
END
