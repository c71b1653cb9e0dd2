-- class: nondeterminism
-- source: PostgreSQL docs 5.5: ctid is useless as a long-term row identifier
-- lines: 3
-- arguments: p_customer text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  DELETE FROM orders o WHERE o.customer = p_customer AND o.ctid <> (SELECT min(q.ctid) FROM orders q WHERE q.customer = p_customer);
END
