-- class: reentrancy
-- source: SWC-107; PostgreSQL docs 39.1: triggers that fire themselves recurse without end
-- lines: 2
-- table: orders
BEGIN
  INSERT INTO orders(id, customer, quantity, price, status) VALUES (NEW.id + 1, NEW.customer, 1, 0, 'bonus');
  RETURN NULL;
END
