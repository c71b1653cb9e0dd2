-- rule: sound
-- language: sql
-- returns: SETOF text
-- arguments: auction_id bigint
SELECT s.bidder FROM (SELECT bidder, rank() OVER (ORDER BY amount DESC) AS place FROM bids WHERE auction = auction_id) s WHERE s.place <= 3 ORDER BY s.bidder
