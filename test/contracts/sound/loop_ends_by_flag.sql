-- rule: sound
-- returns: integer
DECLARE
  v_done boolean := false;
  v_tries integer := 0;
BEGIN
  LOOP
    v_tries := v_tries + 1;
    v_done := true;
    EXIT WHEN v_done;
  END LOOP;
  RETURN v_tries;
END
