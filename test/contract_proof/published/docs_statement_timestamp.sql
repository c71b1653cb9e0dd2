-- class: nondeterminism
-- source: PostgreSQL docs 9.9.5: statement_timestamp() is when the client's message came
-- lines: 3
-- arguments: p_id text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE accounts SET updated_at = statement_timestamp() WHERE id = p_id;
END
