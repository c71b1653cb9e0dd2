-- rule: unordered_aggregate
-- language: sql
-- returns: jsonb
-- arguments: who text
SELECT jsonb_agg(to_jsonb(i) ORDER BY i.issued) FROM invoices i WHERE i.customer = who
