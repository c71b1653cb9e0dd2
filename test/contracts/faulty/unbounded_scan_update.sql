-- rule: unbounded_scan
-- returns: void
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'bank only'; END IF;
  UPDATE accounts SET balance = balance * 1.01;
END
