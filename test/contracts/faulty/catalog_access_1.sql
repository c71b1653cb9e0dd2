-- rule: catalog_access
-- table: orders
BEGIN
  IF (SELECT reltuples FROM pg_class WHERE relname = 'orders') > 1000 THEN RAISE EXCEPTION 'full'; END IF;
  RETURN NULL;
END
