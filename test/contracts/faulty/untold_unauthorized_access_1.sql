-- rule: unauthorized_access
-- returns: bigint
DECLARE v bigint;
BEGIN
  SELECT count(*) INTO v FROM dadbs_internal.block WHERE height > 5;
  RETURN v;
END
