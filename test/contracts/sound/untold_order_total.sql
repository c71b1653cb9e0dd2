-- rule: sound
DECLARE v_total numeric(14,2); v_id bigint;
BEGIN
  v_id := CASE WHEN TG_OP = 'DELETE' THEN OLD.order_id ELSE NEW.order_id END;
  SELECT COALESCE(SUM(qty * unit_price * (1 - discount)), 0) INTO v_total FROM order_item WHERE order_id = v_id;
  UPDATE sales_order SET total = round(v_total, 2), updated_at = dadbs.block_time() WHERE order_id = v_id;
  RETURN NULL;
END
