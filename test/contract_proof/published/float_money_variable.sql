-- class: float_money
-- source: PostgreSQL docs 8.1.3: use numeric for monetary amounts
-- lines: 2, 4, 5
-- arguments: p_amount numeric
-- returns: numeric
DECLARE
  v_price double precision;
BEGIN
  v_price := p_amount * 1.19;
  RETURN round(v_price::numeric, 2);
END
