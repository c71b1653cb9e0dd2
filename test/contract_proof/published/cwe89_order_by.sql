-- class: injection
-- source: OWASP SQL injection prevention: ORDER BY from input
-- lines: 4
-- arguments: p_column text
-- returns: text
DECLARE
  v_id text;
BEGIN
  EXECUTE 'SELECT id FROM accounts ORDER BY ' || p_column || ' LIMIT 1' INTO v_id;
  RETURN v_id;
END
