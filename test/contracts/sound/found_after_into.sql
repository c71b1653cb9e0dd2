-- rule: sound
-- table: orders
DECLARE allowed numeric;
BEGIN
  SELECT credit_limit INTO allowed FROM customers WHERE id = NEW.customer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no customer %', NEW.customer;
  END IF;
  IF allowed < 100 THEN RAISE EXCEPTION 'no credit'; END IF;
  RETURN NULL;
END
