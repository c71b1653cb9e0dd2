-- rule: sound
-- returns: bigint
-- arguments: who text, amount numeric
DECLARE next_id bigint;
BEGIN
  IF dadbs.origin_node() <> 'office' THEN RAISE EXCEPTION 'office only'; END IF;
  SELECT coalesce(max(id), 0) + 1 INTO next_id FROM invoices;
  INSERT INTO invoices (id, customer, amount, status) VALUES (next_id, who, next_number.amount, 'open');
  RETURN next_id;
END
