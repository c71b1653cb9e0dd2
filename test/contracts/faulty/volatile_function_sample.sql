-- rule: volatile_function
-- table: orders
DECLARE spot numeric;
BEGIN
  SELECT avg(amount) INTO spot FROM invoices TABLESAMPLE bernoulli (10) WHERE customer = NEW.customer;
  IF spot > 100 THEN RAISE EXCEPTION 'too much'; END IF;
  RETURN NULL;
END
