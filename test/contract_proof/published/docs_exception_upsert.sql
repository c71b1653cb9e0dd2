-- class: nondeterminism
-- source: PostgreSQL docs 43.6.8, example 43.2: merge_db loops on unique_violation
-- lines: 11
-- arguments: p_name text, p_data text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  FOR i IN 1 .. 3 LOOP
    UPDATE audit SET what = p_data WHERE id = p_name;
    IF FOUND THEN
      RETURN;
    END IF;
    BEGIN
      INSERT INTO audit(id, what) VALUES (p_name, p_data);
      RETURN;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
END
