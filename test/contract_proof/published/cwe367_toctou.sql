-- class: race
-- source: CWE-367 Time-of-check time-of-use: what was checked is what the caller says he has seen
-- lines: 6
-- arguments: p_item bigint, p_seen_stock integer, p_buyer text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  IF p_seen_stock < 1 THEN
    RAISE EXCEPTION 'sold out';
  END IF;
  UPDATE items SET name = p_buyer WHERE id = p_item;
END
