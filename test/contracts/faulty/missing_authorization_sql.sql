-- rule: missing_authorization
-- language: sql
-- returns: void
-- arguments: target text
UPDATE accounts SET frozen = false WHERE id = target
