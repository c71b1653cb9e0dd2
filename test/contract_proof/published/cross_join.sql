-- class: unbounded
-- source: SQL Antipatterns (Karwin): Spaghetti query, accidental cartesian product
-- lines: 1
-- arguments: p_n text
-- returns: bigint
-- language: sql
SELECT count(*) FROM orders o, items i, accounts a
