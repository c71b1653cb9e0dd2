-- class: unbounded
-- source: PostgreSQL docs 7.8.2.2 Cycle detection: a recursive query that never returns
-- lines: 1
-- arguments: p_start text
-- returns: text
-- language: sql
WITH RECURSIVE r(x) AS (SELECT p_start UNION ALL SELECT r.x || 'a' FROM r) SELECT max(x) FROM r
