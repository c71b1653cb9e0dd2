-- rule: sound
-- returns: void
-- arguments: which bigint, offer numeric
BEGIN
  IF offer <= 0 THEN RAISE EXCEPTION 'no'; END IF;
  INSERT INTO bids (auction, bidder, amount, height) VALUES (which, dadbs.origin_node(), offer, dadbs.block_height())
  ON CONFLICT (auction, bidder) DO UPDATE SET amount = excluded.amount, height = excluded.height WHERE bids.amount < excluded.amount;
END
