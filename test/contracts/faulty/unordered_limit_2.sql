-- rule: unordered_limit
-- table: orders
BEGIN
  DELETE FROM shipments WHERE id IN (SELECT id FROM shipments WHERE holder = NEW.customer LIMIT 5);
  RETURN NULL;
END
