-- rule: unordered_aggregate
-- returns: text
-- arguments: start bigint
DECLARE list text;
BEGIN
  WITH RECURSIVE up AS (
    SELECT id, parent, name, 1 AS level FROM parts WHERE id = start
    UNION ALL
    SELECT p.id, p.parent, p.name, up.level + 1 FROM parts p JOIN up ON p.id = up.parent WHERE up.level < 30)
  SELECT string_agg(name, ' > ' ORDER BY level) INTO list FROM up;
  RETURN list;
END
