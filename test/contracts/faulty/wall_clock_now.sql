-- rule: wall_clock
-- table: documents
BEGIN
  IF OLD.retain_until > now() THEN RAISE EXCEPTION 'document % must be kept', OLD.id; END IF;
  RETURN NULL;
END
