-- class: nondeterminism
-- source: PostgreSQL docs, SELECT: SKIP LOCKED provides an inconsistent view (the queue classic)
-- lines: 5
-- arguments: p_status text
DECLARE
  v_id bigint;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  SELECT id INTO STRICT v_id FROM orders WHERE customer = p_status ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
  UPDATE orders SET status = 'taken' WHERE id = v_id;
END
