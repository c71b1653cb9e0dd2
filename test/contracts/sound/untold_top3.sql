-- rule: sound
-- language: sql
-- returns: text
-- arguments: p_supplier text
SELECT string_agg(name, ', ' ORDER BY units_in_stock DESC, product_id) FROM (SELECT product_id, name, units_in_stock FROM product WHERE supplier = p_supplier ORDER BY units_in_stock DESC, product_id LIMIT 3) t
