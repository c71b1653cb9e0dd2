-- rule: sound
-- table: orders
DECLARE p products%ROWTYPE;
BEGIN
  SELECT * INTO STRICT p FROM products WHERE id = NEW.product;
  IF (SELECT NEW.quantity % pack_size FROM products WHERE id = NEW.product) <> 0 THEN RAISE EXCEPTION 'whole packs only'; END IF;
  RETURN NULL;
END
