-- rule: integer_overflow
-- returns: void
-- arguments: target text, more bigint
BEGIN
  IF dadbs.origin_node() <> 'mint' THEN RAISE EXCEPTION 'mint only'; END IF;
  UPDATE tokens SET units = units + more WHERE holder = target;
END
