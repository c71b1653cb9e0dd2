-- rule: transaction_control
-- table: orders
BEGIN
  SAVEPOINT before_order;
  RETURN NULL;
END
