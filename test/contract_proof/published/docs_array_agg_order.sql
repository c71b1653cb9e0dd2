-- class: nondeterminism
-- source: PostgreSQL docs 9.21: array_agg, string_agg ... depend on the order of input rows
-- lines: 1
-- arguments: p_owner text
-- returns: text[]
-- language: sql
SELECT array_agg(id) FROM accounts WHERE owner = p_owner
