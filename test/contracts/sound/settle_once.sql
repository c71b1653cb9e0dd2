-- rule: sound
-- table: shipments
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.state = 'sent' AND OLD.state <> 'sent' THEN
    UPDATE shipments SET updated = dadbs.block_time() WHERE id = NEW.id;
  END IF;
  RETURN NULL;
END
