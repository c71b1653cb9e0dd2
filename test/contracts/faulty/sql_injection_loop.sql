-- rule: sql_injection
-- returns: void
-- arguments: filter text
DECLARE r record;
BEGIN
  FOR r IN EXECUTE 'SELECT * FROM accounts WHERE ' || filter || ' ORDER BY id' LOOP
    RAISE NOTICE '%', r;
  END LOOP;
END
