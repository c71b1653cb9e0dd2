-- class: nondeterminism
-- source: PostgreSQL docs, SELECT: TABLESAMPLE gives a different sample each time
-- lines: 1
-- arguments: p_owner text
-- returns: numeric
-- language: sql
SELECT avg(balance) FROM accounts TABLESAMPLE SYSTEM (10) WHERE owner = p_owner
