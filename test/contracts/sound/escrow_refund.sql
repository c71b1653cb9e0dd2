-- rule: sound
-- returns: void
-- arguments: which bigint
DECLARE e escrows%ROWTYPE;
BEGIN
  SELECT * INTO STRICT e FROM escrows WHERE id = which AND buyer = dadbs.origin_node();
  IF e.state <> 'open' OR dadbs.block_time() < e.deadline THEN RAISE EXCEPTION 'not yet'; END IF;
  UPDATE accounts SET balance = balance + e.amount WHERE id = e.buyer;
  UPDATE escrows SET state = 'refunded' WHERE id = which;
END
