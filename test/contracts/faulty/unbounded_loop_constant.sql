-- rule: unbounded_loop
-- returns: void
DECLARE v integer := 0;
BEGIN
  LOOP
    v := 1;
    EXIT WHEN v > 12;
  END LOOP;
END
