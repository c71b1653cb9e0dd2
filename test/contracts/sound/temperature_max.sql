-- rule: sound
-- table: readings
DECLARE warmest double precision; n bigint;
BEGIN
  SELECT max(celsius), count(*) INTO warmest, n FROM readings WHERE sensor = NEW.sensor AND taken > NEW.taken - interval '1 hour';
  IF n > 3 AND warmest > 8 THEN RAISE EXCEPTION 'too warm'; END IF;
  RETURN NULL;
END
