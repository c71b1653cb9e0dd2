-- class: nondeterminism
-- source: PostgreSQL docs 9.14: gen_random_uuid() is version 4, random
-- lines: 3
-- arguments: p_what text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  INSERT INTO audit(id, who, what, at) VALUES (gen_random_uuid()::text, 'x', p_what, dadbs.block_time());
END
