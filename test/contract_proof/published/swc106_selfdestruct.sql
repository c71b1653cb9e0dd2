-- class: missing_authorisation
-- source: SWC-106 Unprotected SELFDESTRUCT (Parity multisig)
-- lines: 1, 2
-- arguments: p_id text
BEGIN
  DELETE FROM accounts WHERE id = p_id;
END
