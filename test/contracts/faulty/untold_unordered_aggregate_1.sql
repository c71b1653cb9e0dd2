-- rule: unordered_aggregate
DECLARE v text;
BEGIN
  SELECT json_agg(i)::text INTO v FROM order_item i WHERE i.order_id = NEW.order_id;
  INSERT INTO audit_log (log_id, op) VALUES (NEW.order_id::text, v);
  RETURN NULL;
END
