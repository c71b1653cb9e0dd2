-- rule: catalog_access
-- table: orders
BEGIN
  IF EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'admin') THEN RAISE EXCEPTION 'busy'; END IF;
  RETURN NULL;
END
