-- class: nondeterminism
-- source: PostgreSQL docs 9.27: current_setting; VPD classic of app.user set by the client
-- lines: 2
-- table: accounts
BEGIN
  IF NEW.owner <> current_setting('app.user') THEN
    RAISE EXCEPTION 'not yours';
  END IF;
  RETURN NULL;
END
