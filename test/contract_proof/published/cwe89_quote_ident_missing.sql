-- class: injection
-- source: PostgreSQL docs 43.5.4, example 43.1: quoting values in dynamic queries
-- lines: 3
-- arguments: p_column text, p_value text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  EXECUTE 'UPDATE accounts SET ' || p_column || ' = ' || quote_literal(p_value) || ' WHERE id = ''a''';
END
