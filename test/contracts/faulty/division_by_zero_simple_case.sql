-- rule: division_by_zero
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  RETURN CASE shares WHEN 1 THEN total ELSE total / shares END;
END
