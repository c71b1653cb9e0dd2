-- class: injection
-- source: CWE-89; OWASP SQL injection: OR 1=1
-- lines: 4
-- arguments: p_name text, p_password text
-- returns: boolean
DECLARE
  v_admin boolean;
BEGIN
  EXECUTE 'SELECT is_admin FROM users WHERE name = ''' || p_name || ''' AND password = ''' || p_password || '''' INTO v_admin;
  RETURN v_admin;
END
