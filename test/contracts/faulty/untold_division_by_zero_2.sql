-- rule: division_by_zero
-- returns: numeric
-- arguments: p_amount numeric, p_parts numeric
BEGIN
  IF p_parts IS NOT NULL THEN RETURN p_amount / p_parts; END IF;
  RETURN 0;
END
