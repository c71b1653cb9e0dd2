-- rule: missing_authorization
-- returns: void
-- arguments: source text, target text, amount numeric
BEGIN
  IF amount <= 0 THEN RAISE EXCEPTION 'nothing to transfer'; END IF;
  UPDATE accounts SET balance = balance - amount WHERE id = source;
  UPDATE accounts SET balance = balance + amount WHERE id = target;
END
