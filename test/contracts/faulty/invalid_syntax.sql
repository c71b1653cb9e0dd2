-- rule: invalid
-- table: orders
BEGIN
  IF NEW.quantity > THEN RETURN NULL; END IF;
END
