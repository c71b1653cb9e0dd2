-- rule: float_money
-- table: orders
DECLARE total double precision;
BEGIN
  SELECT sum(amount) INTO total FROM invoices WHERE customer = NEW.customer;
  IF total > 1000 THEN RAISE EXCEPTION 'too much'; END IF;
  RETURN NULL;
END
