-- rule: float_money
-- returns: void
-- arguments: source text, target text, amount real
BEGIN
  IF dadbs.session_user_name() <> source THEN RAISE EXCEPTION 'not yours'; END IF;
  UPDATE accounts SET balance = balance - amount WHERE id = source;
  UPDATE accounts SET balance = balance + amount WHERE id = target;
END
