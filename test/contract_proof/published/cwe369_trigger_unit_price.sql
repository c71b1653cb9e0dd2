-- class: division
-- source: CWE-369 (price per piece in a trigger)
-- lines: 2
-- table: orders
BEGIN
  IF NEW.price / NEW.quantity < 0.01 THEN
    RAISE EXCEPTION 'dumping';
  END IF;
  RETURN NULL;
END
