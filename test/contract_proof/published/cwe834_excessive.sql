-- class: unbounded
-- source: CWE-834 Excessive iteration: count from input
-- lines: 4
-- arguments: p_n integer
-- returns: numeric
DECLARE
  v_sum numeric := 0;
BEGIN
  FOR i IN 1 .. p_n LOOP
    v_sum := v_sum + 0.01;
  END LOOP;
  RETURN v_sum;
END
