-- rule: sound
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  RETURN CASE shares WHEN 0 THEN 0 ELSE total / shares END;
END
