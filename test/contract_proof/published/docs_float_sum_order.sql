-- class: nondeterminism
-- source: PostgreSQL docs 8.1.3: sums of floating point depend on the order
-- lines: 1
-- arguments: p_owner text
-- returns: double precision
-- language: sql
SELECT sum(rate::double precision) FROM accounts WHERE owner = p_owner
