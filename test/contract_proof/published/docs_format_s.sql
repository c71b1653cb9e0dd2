-- class: injection
-- source: PostgreSQL docs 43.5.4: %s where %I or %L is needed
-- lines: 3
-- arguments: p_table text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  EXECUTE format('TRUNCATE %s', p_table);
END
