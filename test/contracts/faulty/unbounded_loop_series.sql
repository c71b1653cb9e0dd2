-- rule: unbounded_loop
-- returns: void
-- arguments: n bigint
DECLARE s numeric;
BEGIN
  SELECT sum(g) INTO s FROM generate_series(1, n) g;
  RAISE NOTICE '%', s;
END
