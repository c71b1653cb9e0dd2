-- rule: into_without_strict
DECLARE v_node text;
BEGIN
  SELECT node INTO v_node FROM account WHERE account_id = NEW.debit;
  IF v_node <> dadbs.origin_node() THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
