-- class: nondeterminism
-- source: Yamashita et al. 2019: web service (an answer from outside, per member)
-- lines: 2
-- arguments: p_currency text
-- returns: numeric
BEGIN
  RETURN spot_rate(p_currency);
END
