-- rule: sound
-- returns: numeric
-- arguments: p_principal numeric, p_rate numeric, p_years int
DECLARE v numeric := p_principal;
BEGIN
  IF p_years NOT BETWEEN 1 AND 50 THEN RAISE EXCEPTION 'years'; END IF;
  FOR y IN 1 .. p_years LOOP
    v := round(v * (1 + p_rate), 2);
  END LOOP;
  RETURN v;
END
