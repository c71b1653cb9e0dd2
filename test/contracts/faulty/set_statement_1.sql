-- rule: set_statement
-- table: orders
BEGIN
  SET LOCAL row_security = off;
  RETURN NULL;
END
