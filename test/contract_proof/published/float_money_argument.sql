-- class: float_money
-- source: Fowler, Money pattern: amounts that arrive as floats
-- lines: 3
-- arguments: p_id text, p_amount double precision
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE accounts SET balance = balance + p_amount::numeric WHERE id = p_id;
END
