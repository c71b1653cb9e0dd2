-- rule: sound
-- returns: void
-- arguments: which bigint
DECLARE e escrows%ROWTYPE; yes integer;
BEGIN
  SELECT * INTO STRICT e FROM escrows WHERE id = which;
  IF e.state <> 'open' THEN RAISE EXCEPTION 'escrow % is %', which, e.state; END IF;
  IF dadbs.origin_node() NOT IN (e.buyer, e.seller, 'arbiter') THEN RAISE EXCEPTION 'not a party'; END IF;
  INSERT INTO approvals (escrow, node) VALUES (which, dadbs.origin_node()) ON CONFLICT DO NOTHING;
  SELECT count(*) INTO yes FROM approvals WHERE escrow = which;
  IF yes >= 2 THEN
    UPDATE accounts SET balance = balance + e.amount WHERE id = e.seller;
    UPDATE escrows SET state = 'released' WHERE id = which;
  END IF;
END
