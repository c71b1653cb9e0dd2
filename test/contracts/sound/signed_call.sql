-- rule: sound
-- returns: void
-- arguments: which bigint
DECLARE e escrows%ROWTYPE;
BEGIN
  SELECT * INTO STRICT e FROM escrows WHERE id = which;
  IF dadbs.caller_key() IS DISTINCT FROM e.lock_hash THEN RAISE EXCEPTION 'not signed by the buyer'; END IF;
  UPDATE escrows SET state = 'released' WHERE id = which;
END
