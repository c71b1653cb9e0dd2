-- rule: float_aggregate
DECLARE v double precision;
BEGIN
  SELECT sum(temperature) INTO v FROM sensor_reading WHERE device = NEW.device;
  IF v > 100 THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
