-- rule: wall_clock
-- table: invoices
DECLARE limit_day date := 'today';
BEGIN
  IF NEW.issued > limit_day THEN RAISE EXCEPTION 'issued in the future'; END IF;
  RETURN NULL;
END
