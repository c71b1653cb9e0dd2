-- class: unauthorised
-- source: CWE-284; SWC-124 Write to arbitrary storage location
-- lines: 3
-- arguments: p_person text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE payroll SET amount = 0 WHERE person = p_person;
END
