-- rule: distinct_on
-- returns: void
-- arguments: who text
DECLARE r record;
BEGIN
  FOR r IN SELECT DISTINCT ON (product) product, quantity FROM orders WHERE customer = who ORDER BY product LOOP
    RAISE NOTICE '%', r.quantity;
  END LOOP;
END
