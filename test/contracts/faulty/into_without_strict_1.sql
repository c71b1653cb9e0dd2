-- rule: into_without_strict
-- table: orders
DECLARE allowed numeric;
BEGIN
  SELECT credit_limit INTO allowed FROM customers WHERE id = NEW.customer;
  IF allowed < 100 THEN RAISE EXCEPTION 'no credit'; END IF;
  RETURN NULL;
END
