-- rule: unordered_aggregate
-- table: invoices
DECLARE list text;
BEGIN
  SELECT string_agg(product, ', ') INTO list FROM invoice_lines WHERE invoice = NEW.id;
  INSERT INTO audit (entry, what) VALUES (NEW.id::text, list);
  RETURN NULL;
END
