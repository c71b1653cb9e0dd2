-- rule: integer_overflow
-- returns: integer
-- arguments: quantity integer, cents integer
BEGIN
  RETURN quantity * cents;
END
