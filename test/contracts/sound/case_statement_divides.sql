-- rule: sound
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  CASE shares
    WHEN 0 THEN RETURN 0;
    ELSE RETURN total / shares;
  END CASE;
END
