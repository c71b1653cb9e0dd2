-- rule: sound
-- table: transfers
DECLARE sender numeric; receiver numeric;
BEGIN
  SELECT balance INTO STRICT sender FROM accounts WHERE id = NEW.source;
  SELECT balance INTO STRICT receiver FROM accounts WHERE id = NEW.target;
  IF sender - NEW.amount < 0 THEN RAISE EXCEPTION 'not enough'; END IF;
  UPDATE accounts SET balance = sender - NEW.amount WHERE id = NEW.source;
  UPDATE accounts SET balance = receiver + NEW.amount WHERE id = NEW.target;
  RETURN NULL;
END
