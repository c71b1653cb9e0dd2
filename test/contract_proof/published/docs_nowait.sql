-- class: nondeterminism
-- source: PostgreSQL docs, SELECT: NOWAIT reports an error rather than waiting
-- lines: 2
-- arguments: p_id text
BEGIN
  PERFORM 1 FROM accounts WHERE id = p_id FOR UPDATE NOWAIT;
END
