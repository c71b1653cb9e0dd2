-- rule: sound
-- returns: void
-- arguments: account text
DECLARE who text := dadbs.session_user_name(); is_owner boolean;
BEGIN
  is_owner := EXISTS (SELECT FROM accounts WHERE id = account AND owner = who);
  IF NOT is_owner THEN RAISE EXCEPTION 'not yours'; END IF;
  UPDATE accounts SET frozen = true WHERE id = account;
END
