-- rule: unordered_cursor
-- returns: text
-- arguments: auction_id bigint
DECLARE c CURSOR FOR SELECT bidder FROM bids WHERE auction = auction_id ORDER BY amount DESC; winner text;
BEGIN
  OPEN c;
  FETCH c INTO winner;
  CLOSE c;
  RETURN winner;
END
