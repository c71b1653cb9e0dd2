-- rule: unbounded_loop
-- returns: bigint
-- arguments: root bigint
DECLARE n bigint;
BEGIN
  WITH RECURSIVE t AS (SELECT id FROM parts WHERE id = root UNION ALL SELECT p.id FROM parts p JOIN t ON p.parent = t.id)
  SELECT count(*) INTO n FROM t;
  RETURN n;
END
