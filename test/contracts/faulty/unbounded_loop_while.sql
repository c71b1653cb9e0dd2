-- rule: unbounded_loop
-- returns: integer
-- arguments: n integer
DECLARE i integer := 0; s integer := 0;
BEGIN
  IF n > 100 THEN RAISE EXCEPTION 'too many'; END IF;
  WHILE i < n LOOP
    s := s + 2;
  END LOOP;
  RETURN s;
END
