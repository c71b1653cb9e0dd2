-- rule: sound
-- returns: numeric
-- arguments: total numeric, shares integer
BEGIN
  IF shares IS NULL OR shares <= 0 THEN RAISE EXCEPTION 'no shares'; END IF;
  RETURN round(total / shares, 2);
END
