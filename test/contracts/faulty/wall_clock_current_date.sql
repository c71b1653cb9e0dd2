-- rule: wall_clock
-- table: invoices
BEGIN
  IF NEW.issued > CURRENT_DATE THEN RAISE EXCEPTION 'issued in the future'; END IF;
  RETURN NULL;
END
