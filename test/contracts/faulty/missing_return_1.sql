-- rule: missing_return
-- table: orders
BEGIN
  IF NEW.quantity > 100 THEN
    RETURN NULL;
  ELSIF NEW.shipped THEN
    RAISE EXCEPTION 'shipped already';
  END IF;
END
