-- rule: sound
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  RETURN CASE WHEN shares > 0 THEN total / shares ELSE 0 END;
END
