-- rule: system_column
-- table: documents
BEGIN
  INSERT INTO audit (entry, what) SELECT NEW.id::text, d.xmin::text FROM documents d WHERE d.id = NEW.id;
  RETURN NULL;
END
