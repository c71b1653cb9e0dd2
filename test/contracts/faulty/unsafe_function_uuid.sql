-- rule: unsafe_function
-- table: orders
BEGIN
  INSERT INTO audit (entry, what) VALUES (uuid_generate_v4()::text, TG_OP);
  RETURN NULL;
END
