-- rule: integer_overflow
-- table: parts
BEGIN
  IF NEW.units * 1000 > 5 THEN RAISE EXCEPTION 'too heavy'; END IF;
  RETURN NULL;
END
