-- class: nondeterminism
-- source: PostgreSQL docs 38.7: a function that depends on settings is at most STABLE
-- lines: 2
-- arguments: p_net numeric
-- returns: numeric
BEGIN
  RETURN p_net * (1 + vat());
END
