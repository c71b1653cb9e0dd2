-- class: unauthorised
-- source: CWE-693 Protection mechanism failure: the code switches off the trigger that checks it
-- lines: 2
-- arguments: p_n text
BEGIN
  ALTER TABLE accounts DISABLE TRIGGER ALL;
END
