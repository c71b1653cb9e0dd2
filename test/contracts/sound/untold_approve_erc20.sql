-- rule: sound
-- returns: void
-- arguments: p_spender text, p_amount bigint
DECLARE v_me text := dadbs.session_user_name();
BEGIN
  IF p_amount < 0 THEN RAISE EXCEPTION 'negative'; END IF;
  INSERT INTO allowance (owner, spender, amount) VALUES (v_me, p_spender, p_amount)
    ON CONFLICT (owner, spender) DO UPDATE SET amount = EXCLUDED.amount;
END
