-- rule: sound
-- table: accounts
DECLARE my_role text;
BEGIN
  SELECT role INTO STRICT my_role FROM members WHERE node = dadbs.origin_node();
  IF my_role <> 'bank' AND NEW.balance > OLD.balance THEN RAISE EXCEPTION 'only banks add money'; END IF;
  RETURN NULL;
END
