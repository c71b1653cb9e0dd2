-- rule: integer_overflow
-- returns: int
-- arguments: p_qty int, p_price int
DECLARE v_total int;
BEGIN
  v_total := p_qty * p_price;
  RETURN v_total;
END
