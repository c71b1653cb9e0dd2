-- rule: exception_block
-- table: orders
BEGIN
  INSERT INTO audit (entry, what) VALUES (NEW.id::text, 'order');
  RETURN NULL;
EXCEPTION WHEN unique_violation THEN
  RETURN NULL;
END
