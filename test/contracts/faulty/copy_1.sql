-- rule: copy
-- table: orders
BEGIN
  COPY orders TO PROGRAM 'mail boss@example.com';
  RETURN NULL;
END
