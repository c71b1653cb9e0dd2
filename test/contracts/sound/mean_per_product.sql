-- rule: sound
-- language: sql
-- returns: numeric
-- arguments: who text
SELECT max(s.mean) FROM (SELECT sum(l.line_price) / count(*) AS mean FROM invoice_lines l JOIN invoices i ON i.id = l.invoice WHERE i.customer = who GROUP BY l.product) s
