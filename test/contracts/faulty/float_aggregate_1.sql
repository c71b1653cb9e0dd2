-- rule: float_aggregate
-- table: readings
DECLARE mean double precision;
BEGIN
  SELECT avg(celsius) INTO mean FROM readings WHERE sensor = NEW.sensor;
  IF mean > 30 THEN RAISE EXCEPTION 'too warm'; END IF;
  RETURN NULL;
END
