-- rule: sound
-- table: orders
BEGIN
  UPDATE products SET stock = stock - NEW.quantity WHERE id = NEW.product AND stock >= NEW.quantity AND NOT discontinued;
  IF NOT FOUND THEN RAISE EXCEPTION 'product % is sold out', NEW.product; END IF;
  RETURN NULL;
END
