-- class: nondeterminism
-- source: Yamashita et al. 2019: system timestamp, passed through a variable
-- lines: 2
-- table: auctions
DECLARE
  v_now timestamptz := clock_timestamp();
BEGIN
  IF NEW.ends_at < v_now THEN
    RAISE EXCEPTION 'over';
  END IF;
  RETURN NULL;
END
