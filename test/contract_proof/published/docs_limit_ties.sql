-- class: nondeterminism
-- source: PostgreSQL docs 7.6 (ORDER BY must constrain rows to a unique order)
-- lines: 1
-- arguments: p_category text
-- returns: text
-- language: sql
SELECT name FROM items WHERE category = p_category ORDER BY price LIMIT 1
