-- rule: sound
-- returns: integer
-- arguments: names text[]
DECLARE n text; good integer := 0;
BEGIN
  FOREACH n IN ARRAY names LOOP
    IF EXISTS (SELECT FROM members WHERE node = n) THEN good := good + 1; END IF;
  END LOOP;
  RETURN good;
END
