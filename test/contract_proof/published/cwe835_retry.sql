-- class: unbounded
-- source: PostgreSQL docs 43.6.8: retry loop without an end
-- lines: 3
-- arguments: p_id text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  LOOP
    UPDATE accounts SET kind = 'x' WHERE id = p_id;
  END LOOP;
END
