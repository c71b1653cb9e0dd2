-- rule: unsafe_function
-- table: orders
BEGIN
  PERFORM dadbs.drop_contract('credit_limit');
  RETURN NULL;
END
