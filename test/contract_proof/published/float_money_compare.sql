-- class: float_money
-- source: CWE-1077 Floating point comparison with incorrect operator
-- lines: 2
-- table: orders
BEGIN
  IF NEW.price::float8 = 0.1::float8 + 0.2::float8 THEN
    RAISE EXCEPTION 'odd';
  END IF;
  RETURN NULL;
END
