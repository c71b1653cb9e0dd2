-- class: float_money
-- source: SQL Antipatterns (Karwin): Rounding errors (tax as float)
-- lines: 2
-- arguments: p_net numeric
-- returns: numeric
BEGIN
  RETURN CAST(p_net AS float) * 0.07;
END
