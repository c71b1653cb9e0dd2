-- class: injection
-- source: CWE-89, second order: text stored in a row is run later (SWC-112 delegatecall to untrusted callee)
-- lines: 6
-- arguments: p_proposal bigint
DECLARE
  v_sql text;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  SELECT action INTO STRICT v_sql FROM proposals WHERE id = p_proposal;
  EXECUTE v_sql;
END
