-- rule: sound
-- returns: numeric
-- arguments: a numeric, b numeric, c numeric
BEGIN
  IF a <= b THEN RAISE EXCEPTION 'no'; END IF;
  RETURN c / (a - b);
END
