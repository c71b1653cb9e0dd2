-- class: nondeterminism
-- source: PostgreSQL docs 9.26: version() and server_version_num of each member
-- lines: 2
-- arguments: p_n text
-- returns: text
BEGIN
  IF version() LIKE 'PostgreSQL 15%' THEN
    RETURN 'new';
  END IF;
  RETURN 'old';
END
