-- rule: volatile_function
-- returns: void
-- arguments: auction_id bigint
DECLARE winner text;
BEGIN
  IF dadbs.origin_node() <> 'auctioneer' THEN RAISE EXCEPTION 'not yours'; END IF;
  SELECT bidder INTO STRICT winner FROM bids WHERE auction = auction_id ORDER BY random() LIMIT 1;
  INSERT INTO audit (entry, what) VALUES (winner, 'won');
END
