-- class: unbounded
-- source: CWE-835 Loop with unreachable exit condition
-- lines: 4
-- arguments: p_n integer
DECLARE
  v_i integer := 0;
BEGIN
  WHILE v_i < p_n LOOP
    PERFORM 1;
  END LOOP;
END
