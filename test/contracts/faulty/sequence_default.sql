-- rule: sequence
-- table: orders
BEGIN
  INSERT INTO tickets (title) VALUES ('order ' || NEW.id);
  RETURN NULL;
END
