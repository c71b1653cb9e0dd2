-- rule: sound
DECLARE v_node text;
BEGIN
  SELECT node INTO STRICT v_node FROM account WHERE account_id = NEW.debit;
  IF v_node <> dadbs.origin_node() AND dadbs.origin_node() <> 'bank' THEN
    RAISE EXCEPTION 'account % belongs to %', NEW.debit, v_node;
  END IF;
  RETURN NULL;
END
