-- rule: sound
-- returns: boolean
-- arguments: from_account text, to_account text, cents bigint
BEGIN
  IF cents NOT BETWEEN 1 AND 100000000 THEN RAISE EXCEPTION 'out of range'; END IF;
  UPDATE tokens SET units = units - cents WHERE holder = from_account AND holder = dadbs.session_user_name() AND units >= cents;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO tokens (holder, units) VALUES (to_account, cents) ON CONFLICT (holder) DO UPDATE SET units = tokens.units + excluded.units;
  RETURN true;
END
