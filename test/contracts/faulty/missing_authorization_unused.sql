-- rule: missing_authorization
-- returns: void
-- arguments: target text, amount numeric
DECLARE who text := dadbs.session_user_name();
BEGIN
  UPDATE accounts SET balance = balance + amount WHERE id = target;
  INSERT INTO audit (entry, what, who) VALUES (dadbs.transaction_id(), 'payment', who);
END
