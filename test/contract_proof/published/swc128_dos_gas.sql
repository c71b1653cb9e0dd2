-- class: unbounded
-- source: SWC-128 DoS with block gas limit: pay everybody in one call
-- lines: 5
-- arguments: p_amount numeric
DECLARE
  v_a record;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  FOR v_a IN SELECT id FROM accounts ORDER BY id LOOP
    UPDATE accounts SET balance = balance + p_amount WHERE id = v_a.id;
  END LOOP;
END
