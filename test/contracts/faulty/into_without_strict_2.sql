-- rule: into_without_strict
-- table: orders
DECLARE last_invoice bigint;
BEGIN
  SELECT id INTO last_invoice FROM invoices WHERE customer = NEW.customer ORDER BY issued DESC;
  IF last_invoice = 1 THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
