-- rule: session_state
-- table: accounts
BEGIN
  IF OLD.owner <> current_user THEN RAISE EXCEPTION 'not the owner'; END IF;
  RETURN NULL;
END
