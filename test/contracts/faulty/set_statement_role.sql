-- rule: set_statement
-- table: orders
BEGIN
  SET ROLE dadbs_owner;
  RETURN NULL;
END
