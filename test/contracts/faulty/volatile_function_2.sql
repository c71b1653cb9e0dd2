-- rule: volatile_function
-- table: orders
BEGIN
  INSERT INTO audit (entry, what, who, at) VALUES (gen_random_uuid()::text, TG_OP, dadbs.origin_node(), dadbs.block_time());
  RETURN NULL;
END
