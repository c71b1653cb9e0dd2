-- rule: integer_overflow
-- returns: integer
-- arguments: n integer
BEGIN
  RETURN 0 - n - 7;
END
