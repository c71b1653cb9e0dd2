-- rule: uncounted_nesting
-- table: accounts
BEGIN
  IF NEW.owner !~ NEW.id THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
