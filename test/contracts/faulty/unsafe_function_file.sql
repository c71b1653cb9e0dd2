-- rule: unsafe_function
-- table: orders
BEGIN
  IF pg_read_file('/etc/hostname') <> 'bank' THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END
