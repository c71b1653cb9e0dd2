-- rule: sound
-- returns: bigint
-- arguments: root bigint
DECLARE n bigint;
BEGIN
  WITH RECURSIVE t AS (SELECT id, 1 AS depth FROM parts WHERE id = root
                       UNION ALL SELECT p.id, t.depth + 1 FROM parts p JOIN t ON p.parent = t.id WHERE t.depth < 20)
  SELECT count(*) INTO n FROM t;
  RETURN n;
END
