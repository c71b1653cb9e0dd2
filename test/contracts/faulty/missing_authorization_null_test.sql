-- rule: missing_authorization
-- returns: void
-- arguments: target text, amount numeric
BEGIN
  IF dadbs.origin_node() IS NULL THEN RAISE EXCEPTION 'nobody asks'; END IF;
  UPDATE accounts SET balance = balance + amount WHERE id = target;
END
