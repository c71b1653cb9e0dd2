-- class: unbounded
-- source: Use the Index, Luke: LIKE with a leading wildcard
-- lines: 1
-- arguments: p_text text
-- returns: bigint
-- language: sql
SELECT count(*) FROM orders WHERE note LIKE '%' || p_text || '%'
