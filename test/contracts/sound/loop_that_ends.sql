-- rule: sound
-- returns: integer
DECLARE i integer := 0;
BEGIN
  LOOP
    i := i + 1;
    EXIT WHEN i >= 10;
    CONTINUE WHEN i % 2 = 0;
  END LOOP;
  RETURN i;
END
