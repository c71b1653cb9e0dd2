-- rule: sound
-- returns: text
-- arguments: p_id bigint, p_choice boolean
DECLARE v_p proposal%ROWTYPE; v_yes int; v_no int; v_me text;
BEGIN
  v_me := dadbs.origin_node();
  SELECT * INTO STRICT v_p FROM proposal WHERE proposal_id = p_id;
  IF v_p.decided THEN RETURN v_p.outcome; END IF;
  IF v_p.closes_at < dadbs.block_time() THEN RAISE EXCEPTION 'closed'; END IF;
  PERFORM 1 FROM participant WHERE node = v_me AND active;
  IF NOT FOUND THEN RAISE EXCEPTION 'not a participant: %', v_me; END IF;
  INSERT INTO vote VALUES (p_id, v_me, p_choice, dadbs.block_time());
  SELECT count(*) FILTER (WHERE choice), count(*) FILTER (WHERE NOT choice) INTO v_yes, v_no FROM vote WHERE proposal_id = p_id;
  UPDATE proposal SET yes_votes = v_yes, no_votes = v_no WHERE proposal_id = p_id;
  IF v_yes >= 3 THEN
    UPDATE proposal SET decided = true, outcome = 'accepted' WHERE proposal_id = p_id;
    RETURN 'accepted';
  END IF;
  RETURN 'open';
END
