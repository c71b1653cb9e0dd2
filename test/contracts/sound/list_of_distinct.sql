-- rule: sound
-- language: sql
-- returns: text
-- arguments: who text
SELECT string_agg(DISTINCT product, ', ') FROM orders WHERE customer = who
