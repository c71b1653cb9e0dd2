-- rule: sound
-- returns: numeric
-- arguments: p_loan bigint, p_sum numeric
DECLARE v_open numeric; v_role text;
BEGIN
  SELECT role INTO STRICT v_role FROM participant WHERE node = dadbs.origin_node();
  IF v_role NOT IN ('bank', 'broker') THEN
    RAISE EXCEPTION 'role % may not repay', v_role USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_sum <= 0 THEN RAISE EXCEPTION 'nothing paid'; END IF;
  UPDATE loan SET paid = paid + p_sum WHERE loan_id = p_loan AND paid + p_sum <= principal RETURNING principal - paid INTO v_open;
  IF NOT FOUND THEN RAISE EXCEPTION 'too much'; END IF;
  RETURN v_open;
END
