-- class: unauthorised
-- source: sqlmap and Metasploit: lo_export writes a library for CREATE FUNCTION
-- lines: 2
-- arguments: p_oid oid
BEGIN
  PERFORM lo_export(p_oid, '/tmp/x.so');
END
