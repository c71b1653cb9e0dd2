-- class: unauthorised
-- source: PostgreSQL docs 53.8: pg_authid holds passwords; CWE-200
-- lines: 1
-- arguments: p_role text
-- returns: text
-- language: sql
SELECT rolpassword FROM pg_authid WHERE rolname = p_role
