-- rule: sound
-- returns: integer
-- arguments: copies integer
DECLARE made integer := 0;
BEGIN
  IF copies < 1 OR copies > 100 THEN RAISE EXCEPTION 'between 1 and 100'; END IF;
  FOR i IN 1..copies LOOP
    made := made + 1;
  END LOOP;
  RETURN made;
END
