-- rule: unbounded_loop
-- returns: int
DECLARE v int := 1;
BEGIN
  WHILE v <> 0 LOOP
    PERFORM 1 FROM loan WHERE loan_id = v;
  END LOOP;
  RETURN v;
END
