-- rule: sound
-- table: invoice_lines
BEGIN
  UPDATE invoices i SET amount = s.total
  FROM (SELECT l.invoice, sum(l.quantity * l.line_price) AS total FROM invoice_lines l WHERE l.invoice = NEW.invoice GROUP BY l.invoice) s
  WHERE i.id = s.invoice;
  RETURN NULL;
END
