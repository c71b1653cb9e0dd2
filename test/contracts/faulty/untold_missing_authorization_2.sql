-- rule: missing_authorization
-- returns: void
-- arguments: p_loan bigint
DECLARE v_role text;
BEGIN
  SELECT role INTO STRICT v_role FROM participant WHERE node = 'bank';
  IF v_role <> 'bank' THEN RAISE EXCEPTION 'no'; END IF;
  DELETE FROM loan WHERE loan_id = p_loan;
END
