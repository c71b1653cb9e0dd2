-- rule: sound
-- table: orders
DECLARE most numeric;
BEGIN
  SELECT value INTO STRICT most FROM settings WHERE name = 'largest order';
  IF NEW.quantity > most THEN RAISE EXCEPTION 'at most %', most; END IF;
  RETURN NULL;
END
