-- rule: sound
DECLARE v_spent numeric; v_limit numeric;
BEGIN
  SELECT coalesce(sum(l.amount), 0) INTO v_spent FROM ledger l
    WHERE l.debit = NEW.debit AND l.posted_at >= date_trunc('day', dadbs.block_time()) AND l.entry_id <> NEW.entry_id;
  SELECT p.daily_limit INTO v_limit FROM participant p JOIN account a ON a.node = p.node WHERE a.account_id = NEW.debit;
  IF NOT FOUND THEN RAISE EXCEPTION 'no participant'; END IF;
  IF v_spent + NEW.amount > v_limit THEN RAISE EXCEPTION 'daily limit'; END IF;
  RETURN NULL;
END
