-- rule: sound
DECLARE
  v_debit numeric; v_credit numeric;
BEGIN
  IF TG_OP <> 'INSERT' THEN RAISE EXCEPTION 'the ledger is append-only'; END IF;
  IF NEW.amount <= 0 THEN RAISE EXCEPTION 'amount must be positive'; END IF;
  UPDATE account SET balance = balance - NEW.amount WHERE account_id = NEW.debit RETURNING balance INTO v_debit;
  UPDATE account SET balance = balance + NEW.amount WHERE account_id = NEW.credit RETURNING balance INTO v_credit;
  IF v_debit < 0 THEN RAISE EXCEPTION 'account % overdrawn by %', NEW.debit, -v_debit; END IF;
  RETURN NULL;
END
