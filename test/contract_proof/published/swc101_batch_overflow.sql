-- class: overflow
-- source: SWC-101 Integer overflow and underflow; CVE-2018-10299 (BeautyChain batchTransfer: count * value)
-- lines: 5
-- arguments: p_count integer, p_value integer
DECLARE
  v_amount integer;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  v_amount := p_count * p_value;
  UPDATE accounts SET balance = balance - v_amount WHERE id = 'pool' AND balance >= v_amount;
END
