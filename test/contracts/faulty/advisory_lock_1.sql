-- rule: advisory_lock
-- table: accounts
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext(NEW.id));
  RETURN NULL;
END
