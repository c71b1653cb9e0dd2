-- rule: exception_block
-- table: orders
BEGIN
  BEGIN
    INSERT INTO audit (entry, what) VALUES (NEW.id::text, 'order');
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
  RETURN NULL;
END
