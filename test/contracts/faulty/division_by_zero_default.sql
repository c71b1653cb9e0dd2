-- rule: division_by_zero
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  RETURN total / coalesce(shares, 1);
END
