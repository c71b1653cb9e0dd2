-- class: division
-- source: CWE-369 Divide by zero (average of nothing)
-- lines: 2
-- arguments: p_sum numeric, p_count integer
-- returns: numeric
BEGIN
  RETURN p_sum / p_count;
END
