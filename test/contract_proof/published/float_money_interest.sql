-- class: float_money
-- source: PostgreSQL docs 9.3: power() of double precision for compound interest
-- lines: 2, 4, 5
-- arguments: p_balance numeric, p_years integer
-- returns: numeric
DECLARE
  v_balance float8;
BEGIN
  v_balance := p_balance::float8 * power(1.03::float8, 10);
  RETURN v_balance;
END
