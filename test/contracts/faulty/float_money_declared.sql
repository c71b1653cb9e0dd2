-- rule: float_money
-- returns: void
-- arguments: cents numeric
DECLARE v real := cents;
BEGIN
  RAISE NOTICE '%', v;
END
