-- rule: sound
-- table: documents
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'version % follows %', NEW.version, OLD.version;
  END IF;
  RETURN NULL;
END
