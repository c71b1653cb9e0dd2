-- class: reentrancy
-- source: ORA-04091 classic carried over: a row trigger that stamps its own table
-- lines: 2
-- table: items
BEGIN
  UPDATE items SET name = trim(name) WHERE id = NEW.id;
  RETURN NULL;
END
