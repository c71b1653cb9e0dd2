-- rule: do_block
-- table: orders
BEGIN
  DO $x$ BEGIN PERFORM random(); END $x$;
  RETURN NULL;
END
