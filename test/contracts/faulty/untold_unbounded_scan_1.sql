-- rule: unbounded_scan
-- returns: numeric
DECLARE v numeric;
BEGIN
  SELECT sum(balance) INTO v FROM account;
  RETURN v;
END
