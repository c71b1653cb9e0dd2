-- rule: sound
-- returns: numeric
-- arguments: account text
DECLARE result numeric;
BEGIN
  SELECT balance INTO STRICT result FROM accounts WHERE id = account;
  RETURN result;
END
