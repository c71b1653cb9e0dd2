-- rule: float_money
-- returns: numeric
-- arguments: p_sum double precision, p_loan bigint
BEGIN
  RETURN (SELECT principal - p_sum FROM loan WHERE loan_id = p_loan);
END
