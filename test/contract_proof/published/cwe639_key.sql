-- class: missing_authorisation
-- source: CWE-639 Authorization bypass through user-controlled key (IDOR)
-- lines: 1, 2
-- arguments: p_owner text, p_spender text
BEGIN
  DELETE FROM allowances WHERE owner = p_owner AND spender = p_spender;
END
