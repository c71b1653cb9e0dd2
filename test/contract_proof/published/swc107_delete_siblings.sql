-- class: reentrancy
-- source: SWC-107 (delete trigger deletes more of the same)
-- lines: 2
-- table: payees
BEGIN
  DELETE FROM payees WHERE account = OLD.account;
  RETURN NULL;
END
