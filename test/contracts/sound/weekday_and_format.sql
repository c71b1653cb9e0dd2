-- rule: sound
-- table: orders
DECLARE day integer := extract(isodow FROM dadbs.block_time())::integer;
BEGIN
  IF day IN (6, 7) THEN RAISE EXCEPTION 'closed on %', to_char(dadbs.block_time(), 'YYYY-MM-DD'); END IF;
  IF upper(NEW.customer) LIKE 'TEST%' OR length(NEW.customer) > 20 THEN RAISE EXCEPTION 'no tests'; END IF;
  RETURN NULL;
END
