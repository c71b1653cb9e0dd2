-- rule: sound
-- returns: void
-- arguments: account text
DECLARE n integer;
BEGIN
  UPDATE accounts SET frozen = true WHERE id = account AND owner = dadbs.session_user_name();
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n <> 1 THEN RAISE EXCEPTION 'not yours'; END IF;
END
