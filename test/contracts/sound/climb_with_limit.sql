-- rule: sound
-- returns: integer
-- arguments: start bigint
DECLARE at_part bigint := start; depth integer := 0;
BEGIN
  WHILE at_part IS NOT NULL AND depth < 50 LOOP
    SELECT parent INTO STRICT at_part FROM parts WHERE id = at_part;
    depth := depth + 1;
  END LOOP;
  RETURN depth;
END
