-- rule: skip_locked
-- returns: bigint
DECLARE job bigint;
BEGIN
  SELECT id INTO STRICT job FROM shipments WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
  RETURN job;
END
