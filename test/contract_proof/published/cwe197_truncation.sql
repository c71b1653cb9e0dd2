-- class: overflow
-- source: CWE-197 Numeric truncation error (bigint kept in an integer)
-- lines: 4
-- arguments: p_points bigint
-- returns: integer
DECLARE
  v_points integer;
BEGIN
  v_points := p_points::integer;
  RETURN v_points;
END
