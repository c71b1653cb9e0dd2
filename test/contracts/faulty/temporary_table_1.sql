-- rule: temporary_table
-- table: orders
BEGIN
  CREATE TEMP TABLE work AS SELECT id FROM orders WHERE customer = NEW.customer;
  RETURN NULL;
END
