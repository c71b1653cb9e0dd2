-- rule: sound
-- returns: bigint
DECLARE v_id bigint;
BEGIN
  SELECT order_id INTO v_id FROM sales_order WHERE status = 'new' ORDER BY created_at, order_id LIMIT 1;
  IF v_id IS NULL THEN RETURN NULL; END IF;
  IF dadbs.origin_node() <> 'warehouse' THEN RAISE EXCEPTION 'no'; END IF;
  UPDATE sales_order SET status = 'packing' WHERE order_id = v_id;
  RETURN v_id;
END
