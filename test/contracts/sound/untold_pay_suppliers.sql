-- rule: sound
-- returns: integer
-- arguments: p_supplier text
DECLARE r record; v_n integer := 0;
BEGIN
  IF dadbs.origin_node() IS DISTINCT FROM p_supplier THEN RAISE EXCEPTION 'only the supplier itself'; END IF;
  FOR r IN SELECT p.product_id, p.units_in_stock FROM product p WHERE p.supplier = p_supplier AND p.units_in_stock < p.reorder_level ORDER BY p.product_id LOOP
    UPDATE product SET units_in_stock = r.units_in_stock + 10 WHERE product_id = r.product_id;
    v_n := v_n + 1;
  END LOOP;
  RETURN v_n;
END
