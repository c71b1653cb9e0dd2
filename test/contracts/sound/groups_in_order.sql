-- rule: sound
-- returns: void
-- arguments: who text
DECLARE r record;
BEGIN
  FOR r IN SELECT product, sum(quantity) AS units FROM orders WHERE customer = who GROUP BY product HAVING sum(quantity) > 3 ORDER BY product LOOP
    RAISE NOTICE '% %', r.product, r.units;
  END LOOP;
END
