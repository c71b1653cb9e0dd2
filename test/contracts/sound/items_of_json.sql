-- rule: sound
-- returns: numeric
-- arguments: items jsonb
DECLARE item jsonb; total numeric := 0;
BEGIN
  FOR item IN SELECT value FROM jsonb_array_elements(items) LOOP
    total := total + (item ->> 'price')::numeric * (item ->> 'quantity')::numeric;
  END LOOP;
  RETURN round(total, 2);
END
