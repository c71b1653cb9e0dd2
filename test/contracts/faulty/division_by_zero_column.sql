-- rule: division_by_zero
-- table: invoices
BEGIN
  IF NEW.tax / NEW.amount > 0.5 THEN RAISE EXCEPTION 'tax is too high'; END IF;
  RETURN NULL;
END
