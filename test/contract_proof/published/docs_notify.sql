-- class: nondeterminism
-- source: PostgreSQL docs, NOTIFY: delivered to this server's listeners
-- lines: 2
-- table: orders
BEGIN
  PERFORM pg_notify('orders', NEW.id::text);
  RETURN NULL;
END
