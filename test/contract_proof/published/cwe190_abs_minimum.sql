-- class: overflow
-- source: CWE-190 (abs of the smallest integer: PostgreSQL docs 9.3, integer out of range)
-- lines: 2
-- arguments: p_delta integer
-- returns: integer
BEGIN
  RETURN abs(p_delta);
END
