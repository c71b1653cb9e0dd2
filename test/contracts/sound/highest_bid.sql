-- rule: sound
-- returns: text
-- arguments: auction_id bigint
DECLARE winner text;
BEGIN
  SELECT bidder INTO STRICT winner FROM bids WHERE auction = auction_id ORDER BY amount DESC, height, bidder LIMIT 1;
  RETURN winner;
END
