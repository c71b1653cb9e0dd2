-- class: overflow
-- source: CVE-2018-10376 (SmartMesh proxyTransfer: value + fee wraps)
-- lines: 6
-- arguments: p_from text, p_value bigint, p_fee bigint
DECLARE
  v_has bigint;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  SELECT amount INTO STRICT v_has FROM tokens WHERE holder = p_from;
  IF v_has < p_value + p_fee THEN
    RAISE EXCEPTION 'not enough';
  END IF;
  UPDATE accounts SET updated_at = dadbs.block_time() WHERE id = p_from;
END
