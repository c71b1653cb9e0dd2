-- rule: sound
-- table: shipments
BEGIN
  IF TG_OP = 'DELETE' OR NEW.updated IS NOT NULL THEN RETURN NULL; END IF;
  UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  RETURN NULL;
END
