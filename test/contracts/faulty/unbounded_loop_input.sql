-- rule: unbounded_loop
-- returns: void
-- arguments: copies integer
BEGIN
  FOR i IN 1..copies LOOP
    RAISE NOTICE 'copy %', i;
  END LOOP;
END
