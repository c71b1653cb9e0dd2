-- rule: sound
-- table: readings
BEGIN
  IF NEW.celsius > 8.0 AND NEW.celsius < 100 THEN RAISE EXCEPTION 'cold chain broken at %', NEW.taken; END IF;
  RETURN NULL;
END
