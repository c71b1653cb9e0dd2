-- rule: unordered_limit
-- table: orders
DECLARE top numeric;
BEGIN
  SELECT sum(amount) INTO top FROM latest_bid WHERE auction = NEW.id;
  IF top > 5 THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
