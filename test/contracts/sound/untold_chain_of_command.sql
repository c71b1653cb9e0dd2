-- rule: sound
-- returns: text
-- arguments: p_emp int
DECLARE v_list text;
BEGIN
  WITH RECURSIVE up AS (
    SELECT emp_id, manager, name, 1 AS level FROM employee WHERE emp_id = p_emp
    UNION ALL
    SELECT e.emp_id, e.manager, e.name, up.level + 1 FROM employee e JOIN up ON e.emp_id = up.manager WHERE up.level < 30)
  SELECT string_agg(name, ' > ' ORDER BY level, emp_id) INTO v_list FROM up;
  RETURN v_list;
END
