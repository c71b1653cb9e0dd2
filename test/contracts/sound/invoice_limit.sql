-- rule: sound
-- table: invoices
BEGIN
  IF NEW.amount > 1000 AND dadbs.origin_node() <> 'bank' THEN
    RAISE EXCEPTION 'amount % needs the bank', NEW.amount USING ERRCODE = 'check_violation', HINT = 'ask the bank';
  END IF;
  INSERT INTO audit (entry, what, who, at) VALUES ('invoice ' || NEW.id || ' ' || dadbs.transaction_id(), TG_OP, dadbs.origin_node(), dadbs.block_time());
  RETURN NULL;
END
