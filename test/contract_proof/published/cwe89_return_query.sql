-- class: injection
-- source: CWE-89; PostgreSQL docs 43.6.1.2 RETURN QUERY EXECUTE
-- lines: 2
-- arguments: p_filter text
-- returns: SETOF text
BEGIN
  RETURN QUERY EXECUTE 'SELECT id FROM accounts WHERE ' || p_filter;
END
