-- rule: volatile_function, wall_clock
-- table: orders
BEGIN
  INSERT INTO audit (entry, what) VALUES (stamp(NEW.id::text), 'order');
  RETURN NULL;
END
