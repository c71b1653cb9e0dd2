-- class: overflow
-- source: CWE-190 (votes counted in an integer, input unchecked)
-- lines: 3
-- arguments: p_proposal bigint, p_weight integer
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE proposals SET yes = yes + p_weight WHERE id = p_proposal;
END
