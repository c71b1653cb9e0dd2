-- rule: volatile_function
BEGIN
  IF NEW.weight + NEW.extra > 10 * random() THEN RAISE EXCEPTION 'too heavy'; END IF;
  RETURN NULL;
END
