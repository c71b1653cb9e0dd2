-- rule: unordered_loop
-- returns: void
-- arguments: who text
DECLARE r record; seen integer := 0;
BEGIN
  FOR r IN SELECT i.id, l.product FROM invoices i JOIN invoice_lines l ON l.invoice = i.id WHERE i.customer = who ORDER BY i.id LOOP
    seen := seen + 1;
    EXIT WHEN seen = 3;
    RAISE NOTICE '%', r.product;
  END LOOP;
END
