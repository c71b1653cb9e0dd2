-- rule: volatile_function
DECLARE v int := floor(random() * 10)::int;
BEGIN
  IF v > 5 THEN RAISE EXCEPTION 'unlucky %', NEW.order_id; END IF;
  RETURN NULL;
END
