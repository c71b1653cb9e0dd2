-- rule: unsafe_function
-- table: orders
BEGIN
  IF NEW.customer = top_account() THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
