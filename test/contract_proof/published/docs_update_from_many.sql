-- class: nondeterminism
-- source: PostgreSQL docs, UPDATE: with FROM only one of the join rows is used, which is not readily predictable
-- lines: 3
-- arguments: p_owner text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE accounts a SET credit = o.price FROM orders o WHERE o.customer = a.owner AND a.owner = p_owner;
END
