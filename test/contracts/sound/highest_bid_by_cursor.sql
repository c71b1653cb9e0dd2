-- rule: sound
-- returns: text
-- arguments: auction_id bigint
DECLARE c CURSOR (which bigint) FOR SELECT bidder FROM bids WHERE auction = which ORDER BY amount DESC, bidder; winner text;
BEGIN
  OPEN c(auction_id);
  FETCH c INTO winner;
  CLOSE c;
  RETURN winner;
END
