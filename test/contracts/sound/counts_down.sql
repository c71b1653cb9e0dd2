-- rule: sound
-- returns: integer
DECLARE i integer := 10; n integer := 0;
BEGIN
  WHILE i > 0 LOOP
    i := i - 1;
    IF i % 3 = 0 THEN n := n + 1; END IF;
  END LOOP;
  RETURN n;
END
