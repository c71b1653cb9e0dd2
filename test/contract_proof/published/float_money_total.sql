-- class: float_money
-- source: SQL Antipatterns (Karwin): Rounding errors, FLOAT for sums
-- lines: 2, 4, 5
-- arguments: p_owner text
-- returns: boolean
DECLARE
  v_total real;
BEGIN
  SELECT sum(balance) INTO STRICT v_total FROM accounts WHERE owner = p_owner;
  RETURN v_total > 1000;
END
