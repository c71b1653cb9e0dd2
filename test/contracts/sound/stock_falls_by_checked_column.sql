-- rule: sound
-- table: orders
BEGIN
  UPDATE products SET stock = stock - NEW.quantity WHERE id = NEW.product;
  RETURN NULL;
END
