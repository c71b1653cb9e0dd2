-- rule: sound
-- returns: void
-- arguments: target text, more bigint
BEGIN
  IF dadbs.origin_node() <> 'mint' THEN RAISE EXCEPTION 'mint only'; END IF;
  IF more <= 0 OR more > 1000000 THEN RAISE EXCEPTION 'out of range'; END IF;
  UPDATE tokens SET units = units + more WHERE holder = target;
END
