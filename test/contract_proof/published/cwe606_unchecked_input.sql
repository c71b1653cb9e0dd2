-- class: unbounded
-- source: CWE-606 Unchecked input for loop condition
-- lines: 4, 5
-- arguments: p_goal numeric
-- returns: numeric
DECLARE
  v_n numeric := 1;
BEGIN
  LOOP
    EXIT WHEN v_n >= p_goal;
    v_n := v_n + 0.001;
  END LOOP;
  RETURN v_n;
END
