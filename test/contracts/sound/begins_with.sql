-- rule: sound
-- returns: bigint
-- arguments: word text
BEGIN
  RETURN (SELECT count(*) FROM documents WHERE title LIKE 'Report %' || word);
END
