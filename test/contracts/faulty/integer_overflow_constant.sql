-- rule: integer_overflow
-- returns: integer
-- arguments: n integer
DECLARE v integer;
BEGIN
  v := n + 7;
  RETURN v;
END
