-- rule: sound
-- table: bids
DECLARE highest numeric;
BEGIN
  SELECT max(amount) INTO highest FROM bids WHERE auction = NEW.auction AND bidder <> NEW.bidder;
  IF highest IS NOT NULL AND NEW.amount <= highest THEN RAISE EXCEPTION 'bid more than %', highest; END IF;
  RETURN NULL;
END
