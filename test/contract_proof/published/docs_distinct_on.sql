-- class: nondeterminism
-- source: PostgreSQL docs, SELECT: the first row of each DISTINCT ON set is unpredictable
-- lines: 5
-- arguments: p_customer text
-- returns: numeric
DECLARE
  v_o record;
  v_sum numeric := 0;
BEGIN
  FOR v_o IN SELECT DISTINCT ON (status) status, price FROM orders WHERE customer = p_customer LOOP
    v_sum := v_sum + v_o.price;
  END LOOP;
  RETURN v_sum;
END
