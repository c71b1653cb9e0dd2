-- rule: sound
-- language: sql
-- returns: void
-- arguments: entry text, what text
INSERT INTO audit (entry, what, at) SELECT $1, $2, dadbs.block_time() WHERE dadbs.origin_node() IN ('bank', 'auditor');
