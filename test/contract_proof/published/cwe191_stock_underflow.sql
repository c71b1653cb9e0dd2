-- class: overflow
-- source: CWE-191 Integer underflow (stock falls by what is ordered)
-- lines: 3
-- arguments: p_item bigint, p_quantity integer
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE items SET stock = stock - p_quantity WHERE id = p_item;
END
