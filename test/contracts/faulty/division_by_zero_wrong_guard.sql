-- rule: division_by_zero
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  IF shares < 0 THEN RAISE EXCEPTION 'negative'; END IF;
  RETURN round(total / shares, 2);
END
