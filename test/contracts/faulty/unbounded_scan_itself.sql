-- rule: unbounded_scan
-- returns: bigint
-- arguments: who text
BEGIN
  RETURN (SELECT count(*) FROM invoices WHERE customer = customer);
END
