-- rule: sound
-- returns: integer
-- arguments: k integer
<<first_block>>
DECLARE n integer := 0;
BEGIN
  IF k > 50 THEN RETURN 0; END IF;
  DECLARE n integer := 5;
  BEGIN
    first_block.n := n + 1;
    <<again>>
    FOR i IN REVERSE 10..1 BY 2 LOOP
      EXIT again WHEN i < k;
      n := n + i;
    END LOOP;
  END;
  RETURN n;
END
