-- class: nondeterminism
-- source: Yamashita et al. 2019: map structure iteration (rows have no order)
-- lines: 6
-- arguments: p_owner text
DECLARE
  v_a record;
  v_left numeric := 100;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  FOR v_a IN SELECT id FROM accounts WHERE owner = p_owner LOOP
    UPDATE accounts SET balance = balance + v_left WHERE id = v_a.id;
    v_left := v_left / 2;
  END LOOP;
END
