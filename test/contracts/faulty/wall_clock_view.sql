-- rule: wall_clock
-- table: orders
DECLARE days integer;
BEGIN
  SELECT max(a.days) INTO days FROM invoice_age a WHERE a.customer = NEW.customer;
  IF days > 30 THEN RAISE EXCEPTION 'customer % owes', NEW.customer; END IF;
  RETURN NULL;
END
