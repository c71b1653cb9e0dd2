-- rule: missing_authorization
-- returns: void
-- arguments: account text
BEGIN
  INSERT INTO audit (entry, what, who) VALUES (dadbs.transaction_id(), 'freeze', dadbs.origin_node());
  UPDATE accounts SET frozen = true WHERE id = account;
END
