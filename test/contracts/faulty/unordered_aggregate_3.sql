-- rule: unordered_aggregate
-- returns: bigint
-- arguments: who text
DECLARE ids bigint[];
BEGIN
  ids := ARRAY(SELECT id FROM invoices WHERE customer = who);
  RETURN ids[1];
END
