-- rule: sound
-- table: orders
BEGIN
  IF NEW.placed_at + interval '30 days' < dadbs.block_time() OR date_trunc('day', NEW.placed_at) = timestamptz '2024-01-01' THEN
    RAISE EXCEPTION 'too late';
  END IF;
  RETURN NULL;
END
