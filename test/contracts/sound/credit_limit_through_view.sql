-- rule: sound
-- table: orders
DECLARE owed numeric;
BEGIN
  SELECT sum(o.amount) INTO owed FROM open_invoices o WHERE o.customer = NEW.customer;
  IF owed > 500 THEN RAISE EXCEPTION 'pay first'; END IF;
  RETURN NULL;
END
