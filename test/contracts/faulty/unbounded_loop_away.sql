-- rule: unbounded_loop
-- returns: integer
DECLARE i integer := 0;
BEGIN
  WHILE i < 10 LOOP
    i := i - 1;
  END LOOP;
  RETURN i;
END
