-- rule: unbounded_loop
-- returns: numeric
-- arguments: p_principal numeric, p_years int
DECLARE v numeric := p_principal;
BEGIN
  FOR y IN 1 .. p_years LOOP
    v := v * 1.05;
  END LOOP;
  RETURN v;
END
