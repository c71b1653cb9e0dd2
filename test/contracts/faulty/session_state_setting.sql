-- rule: session_state
-- table: accounts
BEGIN
  IF current_setting('app.role', true) <> 'admin' THEN RAISE EXCEPTION 'admins only'; END IF;
  RETURN NULL;
END
