-- rule: sound
-- table: invoices
BEGIN
  IF NEW.tax IS DISTINCT FROM vat(NEW.amount) THEN RAISE EXCEPTION 'tax must be %', vat(NEW.amount); END IF;
  RETURN NULL;
END
