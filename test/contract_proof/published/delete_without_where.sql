-- class: unbounded
-- source: SonarQube, PL/SQL: DELETE and UPDATE statements should contain WHERE clauses
-- lines: 3
-- arguments: p_n text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  DELETE FROM audit;
END
