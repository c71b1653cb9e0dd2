-- rule: sound
-- table: invoices
DECLARE owed numeric; allowed numeric;
BEGIN
  SELECT coalesce(sum(i.amount), 0) INTO STRICT owed FROM invoices i WHERE i.customer = NEW.customer AND i.status = 'open';
  SELECT c.credit_limit INTO STRICT allowed FROM customers c WHERE c.id = NEW.customer;
  IF owed > allowed THEN RAISE EXCEPTION 'credit limit of % is %', NEW.customer, allowed USING ERRCODE = 'DA100'; END IF;
  RETURN NULL;
END
