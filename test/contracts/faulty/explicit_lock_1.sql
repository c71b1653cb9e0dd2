-- rule: explicit_lock
-- table: accounts
BEGIN
  LOCK TABLE accounts IN EXCLUSIVE MODE;
  RETURN NULL;
END
