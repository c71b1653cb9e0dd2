-- class: missing_authorisation
-- source: SWC-100 Function default visibility (Parity initWallet: anybody becomes owner)
-- lines: 1, 2
-- arguments: p_id text, p_owner text
BEGIN
  UPDATE accounts SET owner = p_owner WHERE id = p_id;
END
