-- rule: integer_overflow
-- returns: integer
-- arguments: quantity integer
BEGIN
  IF quantity < 1 THEN RAISE EXCEPTION 'nothing'; END IF;
  RETURN quantity * 100000;
END
