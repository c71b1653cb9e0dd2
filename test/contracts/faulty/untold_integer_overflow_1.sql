-- rule: integer_overflow
BEGIN
  UPDATE product SET units_in_stock = units_in_stock - NEW.qty WHERE product_id = NEW.product_id;
  RETURN NULL;
END
