-- class: reentrancy
-- source: SWC-107; PostgreSQL docs 39.1
-- lines: 2
-- table: tokens
BEGIN
  INSERT INTO tokens(holder, amount) VALUES ('treasury', 0) ON CONFLICT (holder) DO UPDATE SET amount = 1;
  RETURN NULL;
END
