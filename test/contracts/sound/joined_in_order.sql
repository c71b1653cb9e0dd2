-- rule: sound
-- returns: integer
-- arguments: who text
DECLARE r record; seen integer := 0;
BEGIN
  FOR r IN SELECT i.id, l.line, l.product FROM invoices i JOIN invoice_lines l ON l.invoice = i.id WHERE i.customer = who ORDER BY i.id, l.line LOOP
    seen := seen + 1;
    RAISE NOTICE '%', r.product;
  END LOOP;
  RETURN seen;
END
