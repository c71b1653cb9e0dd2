-- class: missing_authorisation
-- source: CWE-862 Missing authorization: a mint that is open to all
-- lines: 1, 2
-- arguments: p_to text
BEGIN
  INSERT INTO tokens(holder, amount) VALUES (p_to, 1000000);
END
