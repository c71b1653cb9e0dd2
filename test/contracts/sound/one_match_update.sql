-- rule: sound
-- returns: void
-- arguments: which text
BEGIN
  IF dadbs.origin_node() <> 'shop' THEN RAISE EXCEPTION 'shop only'; END IF;
  UPDATE invoices i SET status = 'vip' FROM customers c WHERE c.id = i.customer AND c.region = which AND i.status = 'open';
END
