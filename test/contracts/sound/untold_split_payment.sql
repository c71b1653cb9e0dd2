-- rule: sound
-- returns: void
-- arguments: p_from bigint, p_to bigint[], p_amount numeric
DECLARE v_n int := cardinality(p_to); v_share numeric; v_to bigint;
BEGIN
  IF v_n = 0 OR v_n > 20 THEN RAISE EXCEPTION 'one to twenty'; END IF;
  PERFORM 1 FROM account WHERE account_id = p_from AND holder = dadbs.session_user_name() AND balance >= p_amount;
  IF NOT FOUND THEN RAISE EXCEPTION 'no'; END IF;
  v_share := trunc(p_amount / v_n, 2);
  FOREACH v_to IN ARRAY p_to LOOP
    UPDATE account SET balance = balance + v_share WHERE account_id = v_to;
  END LOOP;
  UPDATE account SET balance = balance - v_share * v_n WHERE account_id = p_from;
END
