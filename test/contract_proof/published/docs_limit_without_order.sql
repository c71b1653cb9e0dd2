-- class: nondeterminism
-- source: PostgreSQL docs 7.6: LIMIT without ORDER BY gives an unpredictable subset
-- lines: 5
-- arguments: p_category text
DECLARE
  v_id bigint;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  SELECT id INTO STRICT v_id FROM items WHERE category = p_category AND stock > 0 LIMIT 1;
  UPDATE items SET name = 'sold' WHERE id = v_id;
END
