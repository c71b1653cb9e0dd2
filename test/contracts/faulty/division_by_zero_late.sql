-- rule: division_by_zero
-- returns: numeric
-- arguments: total numeric, shares integer
DECLARE each numeric;
BEGIN
  each := total / shares;
  IF shares = 0 THEN RAISE EXCEPTION 'no shares'; END IF;
  RETURN each;
END
