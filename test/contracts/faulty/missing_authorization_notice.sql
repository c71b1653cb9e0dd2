-- rule: missing_authorization
-- returns: void
-- arguments: target text, amount numeric
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE WARNING 'only the bank may do this'; END IF;
  UPDATE accounts SET balance = balance + amount WHERE id = target;
END
