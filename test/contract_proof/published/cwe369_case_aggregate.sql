-- class: division
-- source: PostgreSQL docs 4.2.14: CASE does not guard an aggregate within it
-- lines: 1
-- arguments: p_owner text
-- returns: numeric
-- language: sql
SELECT CASE WHEN min(rate) > 0 THEN avg(balance / rate) ELSE 0 END FROM accounts WHERE owner = p_owner
