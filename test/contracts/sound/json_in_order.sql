-- rule: sound
-- language: sql
-- returns: jsonb
-- arguments: who text
SELECT jsonb_agg(jsonb_build_object('id', i.id, 'amount', i.amount) ORDER BY i.issued, i.id) FROM invoices i WHERE i.customer = who
