-- rule: float_money
-- returns: void
-- arguments: account text
DECLARE v double precision;
BEGIN
  SELECT balance INTO STRICT v FROM accounts WHERE id = account;
  RAISE NOTICE '%', v;
END
