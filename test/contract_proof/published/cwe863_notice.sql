-- class: missing_authorisation
-- source: CWE-863 Incorrect authorization: the check only warns
-- lines: 1, 2, 3, 5
-- arguments: p_id text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN
    RAISE WARNING 'only the bank should do this';
  END IF;
  UPDATE accounts SET credit = 1000 WHERE id = p_id;
END
