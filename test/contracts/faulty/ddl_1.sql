-- rule: ddl
-- table: orders
BEGIN
  ALTER TABLE orders DISABLE TRIGGER ALL;
  RETURN NULL;
END
