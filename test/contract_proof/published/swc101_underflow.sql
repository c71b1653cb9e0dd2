-- class: overflow
-- source: SWC-101 (transfer that subtracts before it compares)
-- lines: 6
-- arguments: p_holder text, p_amount bigint
DECLARE
  v_has bigint;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  SELECT amount INTO STRICT v_has FROM tokens WHERE holder = p_holder;
  v_has := v_has - p_amount;
  UPDATE tokens SET amount = v_has WHERE holder = p_holder;
END
