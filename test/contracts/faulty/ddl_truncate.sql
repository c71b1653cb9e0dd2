-- rule: ddl
-- returns: void
BEGIN
  TRUNCATE audit;
END
