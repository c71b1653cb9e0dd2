-- class: missing_authorisation
-- source: SWC-115 Authorization through what the caller says of itself
-- lines: 1, 2, 5
-- arguments: p_caller text, p_id text
BEGIN
  IF p_caller <> 'admin' THEN
    RAISE EXCEPTION 'only the admin';
  END IF;
  UPDATE users SET is_admin = true WHERE name = p_id;
END
