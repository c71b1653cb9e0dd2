-- rule: sound
DECLARE v_left int;
BEGIN
  IF NEW.qty <= 0 OR NEW.qty > 1000 THEN RAISE EXCEPTION 'invalid quantity %', NEW.qty; END IF;
  SELECT units_in_stock INTO STRICT v_left FROM product WHERE product_id = NEW.product_id FOR UPDATE;
  IF v_left < NEW.qty THEN
    RAISE EXCEPTION 'only % left', v_left USING ERRCODE = '23514';
  END IF;
  UPDATE product SET units_in_stock = units_in_stock - NEW.qty WHERE product_id = NEW.product_id;
  RETURN NULL;
END
