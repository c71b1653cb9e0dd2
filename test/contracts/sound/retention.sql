-- rule: sound
-- table: documents
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.retain_until > dadbs.block_time() THEN
      RAISE EXCEPTION 'document % must be kept until %', OLD.id, OLD.retain_until;
    END IF;
  ELSIF NEW.retain_until < OLD.retain_until THEN
    RAISE EXCEPTION 'retention is only prolonged';
  END IF;
  RETURN NULL;
END
