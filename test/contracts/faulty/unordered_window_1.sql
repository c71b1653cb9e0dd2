-- rule: unordered_window
-- returns: bigint
-- arguments: who text
DECLARE first_id bigint;
BEGIN
  SELECT s.id INTO STRICT first_id FROM (SELECT id, row_number() OVER (ORDER BY issued) AS rn FROM invoices WHERE customer = who) s WHERE s.rn = 1;
  RETURN first_id;
END
