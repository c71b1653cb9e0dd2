-- rule: ambiguous_update
BEGIN
  UPDATE sales_order s SET total = i.unit_price FROM order_item i WHERE i.order_id = s.order_id AND s.order_id = NEW.order_id;
  RETURN NULL;
END
