-- rule: division_by_zero
-- returns: numeric
-- arguments: a numeric, b numeric, c numeric
BEGIN
  IF a = c THEN RAISE EXCEPTION 'no'; END IF;
  RETURN c / (a - b);
END
