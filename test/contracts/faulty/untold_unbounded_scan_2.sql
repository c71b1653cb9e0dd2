-- rule: unbounded_scan
-- returns: void
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'no'; END IF;
  DELETE FROM vote;
END
