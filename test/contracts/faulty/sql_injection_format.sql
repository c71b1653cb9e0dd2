-- rule: sql_injection
-- returns: numeric
-- arguments: column_name text, account text
DECLARE result numeric;
BEGIN
  EXECUTE format('SELECT %s FROM accounts WHERE id = %L', column_name, account) INTO STRICT result;
  RETURN result;
END
