-- rule: sound
-- returns: integer
-- arguments: part bigint
DECLARE
  v bigint := part;
  v_depth integer := 0;
BEGIN
  WHILE v IS NOT NULL LOOP
    SELECT parent INTO STRICT v FROM parts WHERE id = v;
    v_depth := v_depth + 1;
    IF v_depth > 20 THEN RAISE EXCEPTION 'too deep'; END IF;
  END LOOP;
  RETURN v_depth;
END
