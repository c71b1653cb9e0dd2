-- rule: missing_authorization
-- returns: void
-- arguments: target text, amount numeric, urgent boolean
BEGIN
  IF NOT urgent THEN
    IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'bank only'; END IF;
  END IF;
  UPDATE accounts SET balance = balance + amount WHERE id = target;
END
