-- class: unauthorised
-- source: CWE-269 Improper privilege management: GRANT within code
-- lines: 2
-- arguments: p_n text
BEGIN
  GRANT ALL ON accounts TO PUBLIC;
END
