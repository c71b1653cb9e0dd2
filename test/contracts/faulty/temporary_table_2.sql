-- rule: temporary_table
-- returns: void
BEGIN
  CREATE TEMPORARY TABLE work (i integer) ON COMMIT DROP;
END
