-- rule: sound
-- table: invoices
DECLARE allowed numeric;
BEGIN
  SELECT credit_limit INTO STRICT allowed FROM customers WHERE id = NEW.customer AND credit_limit > 0;
  IF NEW.amount / allowed > 0.9 THEN RAISE WARNING 'nearly used up'; END IF;
  RETURN NULL;
END
