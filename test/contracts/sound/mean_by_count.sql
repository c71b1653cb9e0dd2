-- rule: sound
-- returns: numeric
-- arguments: who text
DECLARE n bigint; total numeric;
BEGIN
  SELECT count(*), sum(amount) INTO n, total FROM invoices WHERE customer = who;
  IF n = 0 THEN RETURN 0; END IF;
  RETURN total / n;
END
