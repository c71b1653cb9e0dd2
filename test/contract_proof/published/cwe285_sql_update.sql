-- class: missing_authorisation
-- source: CWE-285 Improper authorization, in a function of SQL
-- lines: 1
-- arguments: p_id bigint, p_status text
-- returns: void
-- language: sql
UPDATE orders SET status = p_status WHERE id = p_id
