-- rule: sound
-- returns: void
-- arguments: p_order bigint
BEGIN
  IF dadbs.session_user_name() NOT IN ('sales', 'admin') THEN RAISE EXCEPTION 'no'; END IF;
  INSERT INTO audit_log (log_id, table_name, op, happened_at)
    SELECT 'line ' || i.line_no || ' of ' || i.order_id, 'order_item', 'COPY', dadbs.block_time() FROM order_item i WHERE i.order_id = p_order;
END
