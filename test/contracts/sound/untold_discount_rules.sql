-- rule: sound
BEGIN
  CASE
    WHEN NEW.qty >= 100 AND NEW.discount > 0.2 THEN RAISE EXCEPTION 'at most 20 %%';
    WHEN NEW.qty < 100 AND NEW.discount > 0.1 THEN RAISE EXCEPTION 'at most 10 %%';
    ELSE NULL;
  END CASE;
  IF NEW.unit_price < (SELECT p.unit_price * 0.5 FROM product p WHERE p.product_id = NEW.product_id) THEN
    RAISE EXCEPTION 'below half the list price';
  END IF;
  RETURN NULL;
END
