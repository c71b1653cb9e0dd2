-- rule: local_object
-- table: orders
BEGIN
  INSERT INTO audit (entry, what) VALUES (NEW.id::text, TG_RELID::text);
  RETURN NULL;
END
