-- class: nondeterminism
-- source: PostgreSQL docs 5.5: xmin; the optimistic lock by xmin of ORMs
-- lines: 4
-- arguments: p_id text, p_version text
-- returns: boolean
DECLARE
  v_now text;
BEGIN
  SELECT xmin::text INTO STRICT v_now FROM accounts WHERE id = p_id;
  RETURN v_now = p_version;
END
