-- class: nondeterminism
-- source: PostgreSQL docs 43.5.3: without STRICT the first row, which is not well-defined
-- lines: 4
-- arguments: p_customer text
-- returns: numeric
DECLARE
  v_price numeric;
BEGIN
  SELECT price INTO v_price FROM orders WHERE customer = p_customer;
  RETURN v_price;
END
