-- rule: sound
-- returns: void
-- arguments: which bigint, secret bytea
DECLARE e escrows%ROWTYPE;
BEGIN
  SELECT * INTO STRICT e FROM escrows WHERE id = which;
  IF e.state <> 'open' OR sha256(secret) <> e.lock_hash THEN RAISE EXCEPTION 'wrong secret'; END IF;
  UPDATE escrows SET state = 'claimed' WHERE id = which;
  UPDATE accounts SET balance = balance + e.amount WHERE id = e.seller;
END
