-- class: unbounded
-- source: CWE-770 Allocation of resources without limits: generate_series of input
-- lines: 1
-- arguments: p_n integer
-- returns: numeric
-- language: sql
SELECT sum(g::numeric) FROM generate_series(1, p_n) g
