-- rule: reentrancy
BEGIN
  UPDATE sales_order SET updated_at = dadbs.block_time() WHERE order_id = NEW.order_id AND customer_id = NEW.customer_id;
  RETURN NULL;
END
