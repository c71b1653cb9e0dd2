-- rule: integer_overflow
-- returns: void
-- arguments: p_to text, p_amount bigint
BEGIN
  IF dadbs.origin_node() <> 'mint' THEN RAISE EXCEPTION 'no'; END IF;
  INSERT INTO token_balance (owner, amount) VALUES (p_to, p_amount * 1000) ON CONFLICT (owner) DO NOTHING;
END
