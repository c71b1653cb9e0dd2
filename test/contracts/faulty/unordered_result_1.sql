-- rule: unordered_result
-- language: sql
-- returns: SETOF bigint
-- arguments: who text
SELECT id FROM invoices WHERE customer = who
