-- rule: sound
-- table: shipments
BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  END IF;
  RETURN NULL;
END
