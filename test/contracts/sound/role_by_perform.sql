-- rule: sound
-- returns: void
-- arguments: account text
BEGIN
  PERFORM 1 FROM members WHERE node = dadbs.origin_node() AND role = 'regulator';
  IF NOT FOUND THEN RAISE EXCEPTION 'regulators only'; END IF;
  UPDATE accounts SET frozen = true WHERE id = account;
END
