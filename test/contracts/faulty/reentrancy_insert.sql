-- rule: reentrancy
-- table: orders
BEGIN
  INSERT INTO orders (id, customer, product, quantity) VALUES (NEW.id + 1, NEW.customer, NEW.product, 1);
  RETURN NULL;
END
