-- rule: sound
-- returns: void
-- arguments: account text
BEGIN
  IF NOT EXISTS (SELECT FROM members WHERE node = dadbs.origin_node() AND role = 'regulator') THEN
    RAISE EXCEPTION 'regulators only' USING ERRCODE = 'insufficient_privilege';
  END IF;
  UPDATE accounts SET frozen = true WHERE id = account;
END
