-- rule: sound
-- returns: numeric
-- arguments: account text, parts integer
BEGIN
  ASSERT dadbs.origin_node() = 'bank', 'bank only';
  ASSERT parts > 0;
  UPDATE accounts SET frozen = true WHERE id = account;
  RETURN 100.0 / parts;
END
