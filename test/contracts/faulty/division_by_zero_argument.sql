-- rule: division_by_zero
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  RETURN round(total / shares, 2);
END
