-- class: overflow
-- source: SWC-101 (tokensale challenge: balance + amount)
-- lines: 3
-- arguments: p_to text, p_amount bigint
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE tokens SET amount = amount + p_amount WHERE holder = p_to;
END
