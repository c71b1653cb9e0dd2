-- rule: unauthorized_access
-- table: orders
BEGIN
  IF escalate() = 1 THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
