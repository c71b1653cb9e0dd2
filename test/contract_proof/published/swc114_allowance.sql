-- class: race
-- source: SWC-114 Transaction order dependence (ERC-20 approve): an allowance is set whatever it is now
-- lines: 3
-- arguments: p_owner text, p_spender text, p_amount bigint
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE allowances SET amount = p_amount WHERE owner = p_owner AND spender = p_spender;
END
