-- rule: local_object
-- table: orders
BEGIN
  IF (SELECT state FROM dadbs.status) = 'running' THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
