-- rule: ambiguous_update
-- returns: void
-- arguments: which bigint
BEGIN
  IF dadbs.origin_node() <> 'shop' THEN RAISE EXCEPTION 'shop only'; END IF;
  UPDATE products p SET price = l.line_price FROM invoice_lines l WHERE l.product = p.id AND l.invoice = which;
END
