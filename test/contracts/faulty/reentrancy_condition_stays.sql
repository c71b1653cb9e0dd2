-- rule: reentrancy
-- table: shipments
BEGIN
  IF NEW.holder = 'bank' THEN
    UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  END IF;
  RETURN NULL;
END
