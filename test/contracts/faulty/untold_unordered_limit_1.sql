-- rule: unordered_limit
-- returns: bigint
DECLARE v_id bigint;
BEGIN
  SELECT order_id INTO STRICT v_id FROM sales_order WHERE status = 'new' ORDER BY created_at LIMIT 1;
  RETURN v_id;
END
