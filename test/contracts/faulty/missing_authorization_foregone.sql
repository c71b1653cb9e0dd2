-- rule: missing_authorization
-- returns: void
-- arguments: which bigint
BEGIN
  IF dadbs.origin_node() IS NOT NULL OR true THEN
    UPDATE shipments SET state = 'sent' WHERE id = which;
  END IF;
END
