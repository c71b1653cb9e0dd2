-- class: unauthorised
-- source: CWE-73 External control of file name; pg_read_file of CVE write-ups
-- lines: 2
-- arguments: p_file text
-- returns: text
BEGIN
  RETURN pg_read_file(p_file);
END
