-- rule: unordered_loop
-- returns: void
-- arguments: who text, budget numeric
DECLARE o record; left_over numeric := budget;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'bank only'; END IF;
  FOR o IN SELECT id, amount FROM invoices WHERE customer = who AND status = 'open' LOOP
    EXIT WHEN left_over < o.amount;
    left_over := left_over - o.amount;
    UPDATE invoices SET status = 'paid' WHERE id = o.id;
  END LOOP;
END
