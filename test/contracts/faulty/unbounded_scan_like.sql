-- rule: unbounded_scan
-- returns: bigint
-- arguments: word text
BEGIN
  RETURN (SELECT count(*) FROM documents WHERE title LIKE '%' || word || '%');
END
