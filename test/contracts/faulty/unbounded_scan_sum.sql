-- rule: unbounded_scan
-- table: transfers
DECLARE everything numeric;
BEGIN
  SELECT sum(balance) INTO everything FROM accounts;
  IF everything > 1000000 THEN RAISE EXCEPTION 'too much money'; END IF;
  RETURN NULL;
END
