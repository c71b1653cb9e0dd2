-- class: overflow
-- source: CWE-190 Integer overflow or wraparound (quantity times unit price in cents)
-- lines: 4
-- table: orders
DECLARE
  v_cents integer;
BEGIN
  v_cents := NEW.quantity * 10000;
  IF v_cents > 5000000 THEN
    RAISE EXCEPTION 'too much';
  END IF;
  RETURN NULL;
END
