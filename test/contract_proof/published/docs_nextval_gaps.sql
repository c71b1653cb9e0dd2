-- class: nondeterminism
-- source: PostgreSQL docs 9.17: nextval is never rolled back, so that numbers have gaps
-- lines: 3
-- arguments: p_customer text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  INSERT INTO orders(id, customer, quantity, price, status) VALUES (nextval('numbers'), p_customer, 1, 0, 'new');
END
