-- rule: sound
-- returns: boolean
-- arguments: which bigint
DECLARE yes bigint; needed bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM members m WHERE m.node = dadbs.origin_node()) THEN RAISE EXCEPTION 'members only'; END IF;
  INSERT INTO approvals (escrow, node) VALUES (which, dadbs.origin_node());
  SELECT count(*) INTO yes FROM approvals a WHERE a.escrow = which;
  SELECT value::bigint INTO STRICT needed FROM settings WHERE name = 'quorum';
  IF yes * 2 > needed THEN UPDATE escrows SET state = 'approved' WHERE id = which; RETURN true; END IF;
  RETURN false;
END
