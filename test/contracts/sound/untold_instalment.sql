-- rule: sound
-- returns: numeric
-- arguments: p_loan bigint
DECLARE v loan%ROWTYPE;
BEGIN
  SELECT * INTO STRICT v FROM loan WHERE loan_id = p_loan;
  RETURN round(v.principal * (1 + v.annual_rate) / v.months, 2);
END
