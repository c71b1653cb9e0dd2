-- rule: sql_injection
-- table: orders
DECLARE filter text;
BEGIN
  SELECT title INTO STRICT filter FROM documents WHERE id = NEW.id;
  EXECUTE 'DELETE FROM invoices WHERE ' || filter;
  RETURN NULL;
END
