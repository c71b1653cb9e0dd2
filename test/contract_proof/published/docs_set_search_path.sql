-- class: nondeterminism
-- source: PostgreSQL docs, CREATE FUNCTION: SET inside a function outlives it
-- lines: 2
-- arguments: p_schema text
-- returns: integer
BEGIN
  SET search_path = public;
  RETURN 1;
END
