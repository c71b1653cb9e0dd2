-- rule: set_statement
-- table: orders
BEGIN
  PERFORM set_config('TimeZone', 'Asia/Tokyo', true);
  RETURN NULL;
END
