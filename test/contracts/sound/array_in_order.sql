-- rule: sound
-- returns: bigint[]
-- arguments: who text
BEGIN
  RETURN ARRAY(SELECT id FROM invoices WHERE customer = who ORDER BY id);
END
