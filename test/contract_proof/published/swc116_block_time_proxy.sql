-- class: nondeterminism
-- source: SWC-116 Block values as a proxy for time: the server's clock decides
-- lines: 3
-- arguments: p_id bigint
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE auctions SET closed = true WHERE id = p_id AND ends_at < clock_timestamp();
END
