-- rule: sound
-- returns: integer
-- arguments: version integer
BEGIN
  RETURN version + 1;
END
