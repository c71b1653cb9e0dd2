-- rule: float_money
-- returns: double precision
-- arguments: account text
DECLARE b numeric;
BEGIN
  SELECT balance INTO STRICT b FROM accounts WHERE id = account;
  RETURN b;
END
