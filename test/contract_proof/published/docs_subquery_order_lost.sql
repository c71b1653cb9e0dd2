-- class: nondeterminism
-- source: PostgreSQL docs 9.21: order of a subquery is only usual
-- lines: 1
-- arguments: p_customer text
-- returns: text
-- language: sql
SELECT string_agg(s.note, ';' ORDER BY s.status) FROM (SELECT note, status FROM orders WHERE customer = p_customer) s
