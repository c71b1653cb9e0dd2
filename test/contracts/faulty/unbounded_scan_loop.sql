-- rule: unbounded_scan
-- returns: void
DECLARE a record;
BEGIN
  FOR a IN SELECT id, balance FROM accounts ORDER BY id LOOP
    RAISE NOTICE '%', a.balance;
  END LOOP;
END
