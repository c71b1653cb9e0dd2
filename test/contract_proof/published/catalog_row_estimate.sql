-- class: nondeterminism
-- source: PostgreSQL wiki, Count estimate: reltuples of pg_class
-- lines: 1
-- arguments: p_table text
-- returns: bigint
-- language: sql
SELECT reltuples::bigint FROM pg_class WHERE relname = p_table
