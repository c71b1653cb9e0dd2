-- rule: sound
BEGIN
  IF NEW.weight + NEW.extra > 10 OR NEW.label IS NULL OR NEW.label = '' THEN RAISE EXCEPTION '% is too heavy', NEW.label; END IF;
  RETURN NULL;
END
