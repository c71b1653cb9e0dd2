-- class: unauthorised
-- source: CWE-250 Execution with unnecessary privileges: SET ROLE
-- lines: 2
-- arguments: p_n text
BEGIN
  SET ROLE postgres;
END
