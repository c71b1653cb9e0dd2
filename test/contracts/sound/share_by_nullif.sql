-- rule: sound
-- language: sql
-- returns: numeric
-- arguments: total numeric, shares integer
SELECT round(total / NULLIF(shares, 0), 2)
