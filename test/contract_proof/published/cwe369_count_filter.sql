-- class: division
-- source: CWE-369 (aggregate as divisor)
-- lines: 1
-- arguments: p_customer text
-- returns: numeric
-- language: sql
SELECT sum(price) / count(*) FILTER (WHERE status = 'paid') FROM orders WHERE customer = p_customer
