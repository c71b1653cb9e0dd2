-- class: nondeterminism
-- source: PostgreSQL docs 9.21 (json_object_agg and others)
-- lines: 2
-- arguments: p_customer text
-- returns: jsonb
BEGIN
  RETURN (SELECT jsonb_object_agg(status, id) FROM orders WHERE customer = p_customer);
END
