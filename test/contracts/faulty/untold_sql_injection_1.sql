-- rule: sql_injection
-- returns: void
-- arguments: p_table text
DECLARE v_sql text;
BEGIN
  v_sql := 'UPDATE ' || p_table || ' SET status = ''x''';
  EXECUTE v_sql;
END
