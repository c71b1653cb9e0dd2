-- class: race
-- source: Berenson et al. 1995 P4 Lost update: the new balance comes from the caller, who read it before
-- lines: 3
-- arguments: p_id text, p_new numeric
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE accounts SET balance = p_new WHERE id = p_id;
END
