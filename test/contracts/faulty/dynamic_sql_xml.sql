-- rule: dynamic_sql
-- table: orders
BEGIN
  IF query_to_xml('SELECT * FROM products', true, false, '')::text LIKE '%x%' THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
