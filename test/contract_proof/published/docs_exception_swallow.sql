-- class: nondeterminism
-- source: SWC-104 Unchecked call return value; WHEN OTHERS THEN NULL (Oracle and PL/pgSQL classic)
-- lines: 5
-- arguments: p_id text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  BEGIN
    UPDATE accounts SET balance = balance - 10 WHERE id = p_id;
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
END
