-- rule: system_column
-- returns: void
-- arguments: who text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'bank only'; END IF;
  DELETE FROM invoices a USING invoices b WHERE a.ctid < b.ctid AND a.customer = b.customer AND a.customer = who;
END
