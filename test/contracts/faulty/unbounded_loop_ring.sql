-- rule: unbounded_loop
-- returns: integer
-- arguments: part bigint
DECLARE
  v bigint := part;
  v_depth integer := 0;
BEGIN
  WHILE v IS NOT NULL LOOP
    SELECT parent INTO STRICT v FROM parts WHERE id = v;
    v_depth := v_depth + 1;
  END LOOP;
  RETURN v_depth;
END
