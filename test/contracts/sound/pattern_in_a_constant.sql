-- rule: sound
-- table: accounts
DECLARE shape CONSTANT text := '^[A-Z]{2}[0-9]+$';
BEGIN
  IF NEW.id !~ shape OR NEW.owner ~ '[^a-z ]' THEN RAISE EXCEPTION 'not as agreed: %', NEW.id; END IF;
  RETURN NULL;
END
