-- class: nondeterminism
-- source: PostgreSQL docs 13.3: LOCK TABLE in code that others wait for (SWC-113 DoS with failed call)
-- lines: 2
-- arguments: p_n text
BEGIN
  LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE;
END
