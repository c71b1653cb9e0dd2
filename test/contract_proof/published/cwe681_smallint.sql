-- class: overflow
-- source: CWE-681 Incorrect conversion between numeric types
-- lines: 1
-- arguments: p_age integer
-- returns: smallint
-- language: sql
SELECT p_age::smallint
