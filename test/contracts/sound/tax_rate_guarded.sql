-- rule: sound
-- table: invoices
BEGIN
  IF NEW.amount > 0 AND NEW.tax / NEW.amount > 0.5 THEN RAISE EXCEPTION 'tax is too high'; END IF;
  RETURN NULL;
END
