-- class: nondeterminism
-- source: PostgreSQL docs 9.17: currval is the session's
-- lines: 2
-- arguments: p_customer text
-- returns: bigint
BEGIN
  RETURN currval('numbers');
END
