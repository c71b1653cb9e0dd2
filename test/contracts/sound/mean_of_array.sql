-- rule: sound
-- returns: numeric
-- arguments: numbers numeric[]
DECLARE s numeric := 0; x numeric;
BEGIN
  IF array_length(numbers, 1) IS NULL THEN RETURN NULL; END IF;
  FOREACH x IN ARRAY numbers LOOP s := s + x; END LOOP;
  RETURN s / array_length(numbers, 1);
END
