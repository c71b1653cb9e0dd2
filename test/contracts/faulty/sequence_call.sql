-- rule: sequence
-- table: orders
BEGIN
  INSERT INTO invoices (id, customer, amount, status) VALUES (nextval('tickets_id_seq'), NEW.customer, 1, 'open');
  RETURN NULL;
END
