-- rule: division_by_zero
-- table: parts
BEGIN
  IF 100 % NEW.units <> 0 THEN RAISE EXCEPTION 'does not fit'; END IF;
  RETURN NULL;
END
