-- rule: sound
-- language: sql
-- returns: numeric
-- arguments: p_loan bigint
SELECT round(principal * (1 + annual_rate) / months, 2) FROM loan WHERE loan_id = p_loan
