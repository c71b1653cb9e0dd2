-- class: overflow
-- source: SWC-101 (TimeLock.increaseLockTime adds what the caller gives)
-- lines: 5
-- arguments: p_auction bigint, p_seconds integer, p_more integer
DECLARE
  v_seconds integer;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  v_seconds := p_seconds + p_more;
  UPDATE auctions SET ends_at = ends_at + make_interval(secs => v_seconds) WHERE id = p_auction;
END
