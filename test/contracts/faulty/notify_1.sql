-- rule: notify
-- table: orders
BEGIN
  PERFORM pg_notify('orders', NEW.id::text);
  RETURN NULL;
END
