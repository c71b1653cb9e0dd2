-- rule: dynamic_sql
-- table: orders
BEGIN
  EXECUTE 'UPDATE products SET stock = stock - 1 WHERE id = $1' USING NEW.product;
  RETURN NULL;
END
