-- rule: invalid
-- table: orders
BEGIN
  IF NEW.colour = 'red' THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
