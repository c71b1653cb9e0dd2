-- rule: float_money
-- table: invoices
BEGIN
  IF NEW.tax <> round((NEW.amount::float8 * 0.2)::numeric, 2) THEN RAISE EXCEPTION 'wrong tax'; END IF;
  RETURN NULL;
END
