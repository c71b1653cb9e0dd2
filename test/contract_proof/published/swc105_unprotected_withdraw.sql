-- class: missing_authorisation
-- source: SWC-105 Unprotected Ether withdrawal
-- lines: 1, 2
-- arguments: p_id text, p_amount numeric
BEGIN
  UPDATE accounts SET balance = balance - p_amount WHERE id = p_id AND balance >= p_amount AND p_amount > 0;
END
