-- class: nondeterminism
-- source: PostgreSQL wiki, Don't do this and FAQ: temporary tables in functions
-- lines: 2
-- arguments: p_owner text
BEGIN
  CREATE TEMPORARY TABLE work ON COMMIT DROP AS SELECT id FROM accounts WHERE owner = p_owner;
END
