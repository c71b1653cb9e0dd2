-- rule: reentrancy
-- table: shipments
BEGIN
  UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  RETURN NULL;
END
