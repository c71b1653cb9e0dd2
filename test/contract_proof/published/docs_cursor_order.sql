-- class: nondeterminism
-- source: PostgreSQL docs 43.7 Cursors, over an unordered query
-- lines: 2, 5, 6
-- arguments: p_owner text
-- returns: text
DECLARE
  c CURSOR FOR SELECT id FROM accounts WHERE owner = 'x';
  v_id text;
BEGIN
  OPEN c;
  FETCH c INTO v_id;
  CLOSE c;
  RETURN v_id;
END
