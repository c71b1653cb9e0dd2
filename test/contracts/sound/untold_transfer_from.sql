-- rule: sound
-- returns: void
-- arguments: p_owner text, p_to text, p_amount bigint
DECLARE v_allowed bigint; v_balance bigint; v_me text := dadbs.session_user_name();
BEGIN
  IF p_amount IS NULL OR p_amount <= 0 OR p_amount > 1000000000 THEN
    RAISE EXCEPTION 'bad amount %', p_amount;
  END IF;
  SELECT amount INTO STRICT v_allowed FROM allowance WHERE owner = p_owner AND spender = v_me;
  SELECT amount INTO STRICT v_balance FROM token_balance WHERE owner = p_owner;
  IF v_allowed < p_amount THEN RAISE EXCEPTION 'not allowed'; END IF;
  IF v_balance < p_amount THEN RAISE EXCEPTION 'not enough'; END IF;
  UPDATE allowance SET amount = amount - p_amount WHERE owner = p_owner AND spender = v_me;
  UPDATE token_balance SET amount = amount - p_amount WHERE owner = p_owner;
  INSERT INTO token_balance (owner, amount) VALUES (p_to, p_amount) ON CONFLICT (owner) DO UPDATE SET amount = token_balance.amount + EXCLUDED.amount;
END
