-- class: nondeterminism
-- source: PostgreSQL docs 3.5: without ORDER BY a window has no order
-- lines: 1
-- arguments: p_customer text
-- returns: bigint
-- language: sql
SELECT o.id FROM (SELECT id, row_number() OVER () AS n FROM orders WHERE customer = p_customer) o WHERE o.n = 1
