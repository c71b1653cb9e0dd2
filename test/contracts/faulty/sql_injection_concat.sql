-- rule: sql_injection
-- returns: void
-- arguments: account text, new_owner text
BEGIN
  IF dadbs.session_user_name() <> 'admin' THEN RAISE EXCEPTION 'admins only'; END IF;
  EXECUTE 'UPDATE accounts SET owner = ''' || new_owner || ''' WHERE id = ''' || account || '''';
END
