-- rule: sound
BEGIN
  IF encode(sha256(convert_to(NEW.customer_id || ':' || NEW.order_id::text, 'UTF8')), 'hex') = 'x' THEN RAISE EXCEPTION 'impossible'; END IF;
  RETURN NULL;
END
