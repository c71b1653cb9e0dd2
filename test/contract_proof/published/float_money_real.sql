-- class: float_money
-- source: CWE-1339 Insufficient precision of a real number (the Patriot classic, for interest)
-- lines: 1
-- arguments: p_balance numeric
-- returns: numeric
-- language: sql
SELECT (p_balance::real * 1.025::real)::numeric
