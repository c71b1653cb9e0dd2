-- rule: sound
-- table: invoices
DECLARE list text;
BEGIN
  SELECT string_agg(product, ', ' ORDER BY line) INTO list FROM invoice_lines WHERE invoice = NEW.id;
  INSERT INTO audit (entry, what, at) VALUES ('lines of ' || NEW.id, coalesce(list, 'none'), dadbs.block_time());
  RETURN NULL;
END
