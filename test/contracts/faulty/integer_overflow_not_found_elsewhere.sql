-- rule: integer_overflow
-- returns: void
-- arguments: source text, target text, units_moved bigint
BEGIN
  IF units_moved <= 0 THEN RAISE EXCEPTION 'no'; END IF;
  UPDATE tokens SET units = tokens.units - 1 WHERE holder = source AND holder = dadbs.session_user_name();
  IF NOT FOUND THEN RAISE EXCEPTION 'not enough'; END IF;
  UPDATE tokens SET units = tokens.units + units_moved WHERE holder = target;
END
