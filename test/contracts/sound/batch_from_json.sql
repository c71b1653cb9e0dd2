-- rule: sound
-- returns: void
-- arguments: items jsonb
DECLARE i integer;
BEGIN
  IF dadbs.origin_node() <> 'shop' THEN RAISE EXCEPTION 'shop only'; END IF;
  FOR i IN 0..jsonb_array_length(items) - 1 LOOP
    UPDATE products SET price = (items -> i ->> 'price')::numeric WHERE id = items -> i ->> 'id';
  END LOOP;
END
