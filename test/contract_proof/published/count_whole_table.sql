-- class: unbounded
-- source: PostgreSQL wiki, Slow counting: count(*) of the table for each row
-- lines: 4
-- table: orders
DECLARE
  v_n bigint;
BEGIN
  SELECT count(*) INTO STRICT v_n FROM orders;
  IF v_n > 100000 THEN
    RAISE EXCEPTION 'full';
  END IF;
  RETURN NULL;
END
