-- class: division
-- source: CWE-369; share price of an empty vault (ERC-4626 first depositor)
-- lines: 5
-- arguments: p_account text, p_assets numeric
-- returns: numeric
DECLARE
  v_shares integer;
BEGIN
  SELECT shares INTO STRICT v_shares FROM accounts WHERE id = p_account;
  RETURN p_assets / v_shares;
END
