-- class: division
-- source: PostgreSQL docs 4.2.14: WHERE x > 0 AND y/x > 1.5 is no guard
-- lines: 1
-- arguments: p_owner text
-- returns: bigint
-- language: sql
SELECT count(*) FROM accounts WHERE owner = p_owner AND rate > 0 AND balance / rate > 1.5
