-- rule: unbounded_loop
-- returns: void
DECLARE i integer := 0;
BEGIN
  LOOP
    i := i + 1;
    CONTINUE WHEN i > 10;
  END LOOP;
END
