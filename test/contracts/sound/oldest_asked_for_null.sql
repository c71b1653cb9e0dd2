-- rule: sound
-- returns: bigint
DECLARE v_id bigint;
BEGIN
  SELECT id INTO v_id FROM shipments WHERE state = 'new' ORDER BY updated, id LIMIT 1;
  IF v_id IS NULL THEN RETURN NULL; END IF;
  IF dadbs.origin_node() <> 'warehouse' THEN RAISE EXCEPTION 'no'; END IF;
  UPDATE shipments SET state = 'packing' WHERE id = v_id;
  RETURN v_id;
END
