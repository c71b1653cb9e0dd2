-- rule: sound
-- returns: void
-- arguments: from_account text, to_account text, amount numeric
DECLARE sender accounts%ROWTYPE;
BEGIN
  IF amount <= 0 THEN RAISE EXCEPTION 'amount must be positive'; END IF;
  SELECT * INTO STRICT sender FROM accounts WHERE id = from_account;
  IF sender.owner <> dadbs.session_user_name() THEN RAISE EXCEPTION 'account % is not yours', from_account; END IF;
  IF sender.balance < amount THEN RAISE EXCEPTION 'only % left', sender.balance; END IF;
  UPDATE accounts SET balance = balance - transfer.amount WHERE id = from_account;
  UPDATE accounts SET balance = balance + transfer.amount WHERE id = to_account;
  IF NOT FOUND THEN RAISE EXCEPTION 'there is no account %', to_account; END IF;
END
