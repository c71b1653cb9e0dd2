-- class: division
-- source: CWE-369 (modulo by a parameter; kwil and CosmWasm audits name remainder)
-- lines: 2
-- arguments: p_id bigint, p_buckets integer
-- returns: bigint
BEGIN
  RETURN p_id % p_buckets;
END
