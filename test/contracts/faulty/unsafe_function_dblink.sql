-- rule: unsafe_function
-- table: orders
BEGIN
  PERFORM dblink_exec('host=elsewhere', 'DELETE FROM orders');
  RETURN NULL;
END
