-- rule: sound
-- returns: void
-- arguments: one text, other text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'bank only'; END IF;
  PERFORM 1 FROM accounts WHERE id IN (one, other) ORDER BY id FOR UPDATE;
  UPDATE accounts SET frozen = true WHERE id = ANY (ARRAY[one, other]);
END
