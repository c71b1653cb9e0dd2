-- rule: unauthorized_access
-- returns: text
-- arguments: who text
DECLARE secret text;
BEGIN
  SELECT rolpassword INTO STRICT secret FROM pg_authid WHERE rolname = who;
  RETURN secret;
END
