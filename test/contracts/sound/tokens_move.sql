-- rule: sound
-- returns: void
-- arguments: source text, target text, units_moved bigint
BEGIN
  IF units_moved <= 0 THEN RAISE EXCEPTION 'no'; END IF;
  UPDATE tokens SET units = tokens.units - units_moved WHERE holder = source AND holder = dadbs.session_user_name() AND tokens.units >= units_moved;
  IF NOT FOUND THEN RAISE EXCEPTION 'not enough'; END IF;
  UPDATE tokens SET units = tokens.units + units_moved WHERE holder = target;
  IF NOT FOUND THEN INSERT INTO tokens (holder, units) VALUES (target, units_moved); END IF;
END
