-- class: reentrancy
-- source: SWC-107 Reentrancy (a change of the balance calls the code that changes it)
-- lines: 2
-- table: accounts
BEGIN
  UPDATE accounts SET balance = balance - 1 WHERE id = NEW.id;
  RETURN NULL;
END
