-- rule: missing_authorization
-- returns: void
-- arguments: p_order bigint
BEGIN
  IF dadbs.origin_node() IS NOT NULL OR true THEN
    UPDATE sales_order SET status = 'paid' WHERE order_id = p_order;
  END IF;
END
