-- rule: unordered_cursor
-- returns: text
-- arguments: auction_id bigint
DECLARE c refcursor; winner text;
BEGIN
  OPEN c FOR SELECT bidder FROM bids WHERE auction = auction_id;
  FETCH c INTO winner;
  CLOSE c;
  RETURN winner;
END
