-- class: unauthorised
-- source: CWE-284 Improper access control: a table that the author may not read
-- lines: 1
-- arguments: p_person text
-- returns: numeric
-- language: sql
SELECT amount FROM payroll WHERE person = p_person
