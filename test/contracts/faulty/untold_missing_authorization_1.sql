-- rule: missing_authorization
-- returns: void
-- arguments: p_to text, p_amount bigint
BEGIN
  IF p_amount NOT BETWEEN 1 AND 1000 THEN RAISE EXCEPTION 'no'; END IF;
  INSERT INTO token_balance (owner, amount) VALUES (p_to, p_amount) ON CONFLICT (owner) DO UPDATE SET amount = token_balance.amount + EXCLUDED.amount;
END
