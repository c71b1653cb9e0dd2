-- class: reentrancy
-- source: SWC-107 (MERGE into the trigger's own table)
-- lines: 2
-- table: allowances
BEGIN
  MERGE INTO allowances a USING (SELECT NEW.owner AS o) n ON a.owner = n.o AND a.spender = 'all'
    WHEN MATCHED THEN UPDATE SET amount = 1 WHEN NOT MATCHED THEN INSERT (owner, spender, amount) VALUES (n.o, 'all', 0);
  RETURN NULL;
END
