-- rule: sound
-- returns: void
-- arguments: which bigint, next_holder text
DECLARE s shipments%ROWTYPE;
BEGIN
  SELECT * INTO STRICT s FROM shipments WHERE id = which;
  IF s.holder IS DISTINCT FROM dadbs.origin_node() THEN
    RAISE EXCEPTION 'shipment % is with %', which, s.holder;
  END IF;
  IF NOT EXISTS (SELECT FROM members WHERE node = next_holder) THEN RAISE EXCEPTION 'who is %?', next_holder; END IF;
  UPDATE shipments SET holder = next_holder, updated = dadbs.block_time() WHERE id = which;
END
