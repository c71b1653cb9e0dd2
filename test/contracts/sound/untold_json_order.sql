-- rule: sound
-- returns: bigint
-- arguments: p_id bigint, p_customer text, p_items jsonb
DECLARE v_item jsonb; v_line int := 0;
BEGIN
  IF dadbs.origin_node() <> 'shop' THEN RAISE EXCEPTION 'no'; END IF;
  IF jsonb_array_length(p_items) > 50 THEN RAISE EXCEPTION 'too many'; END IF;
  INSERT INTO sales_order (order_id, customer_id, status, created_at) VALUES (p_id, p_customer, 'new', dadbs.block_time());
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_items) WITH ORDINALITY AS t(x, n) ORDER BY n LOOP
    v_line := v_line + 1;
    INSERT INTO order_item (order_id, line_no, product_id, qty, unit_price)
      VALUES (p_id, v_line, (v_item->>'product')::int, (v_item->>'qty')::int, (v_item->>'price')::numeric);
  END LOOP;
  RETURN v_line;
END
