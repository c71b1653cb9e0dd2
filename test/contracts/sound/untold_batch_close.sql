-- rule: sound
-- returns: int
DECLARE c CURSOR FOR SELECT proposal_id, yes_votes, no_votes FROM proposal WHERE NOT decided AND closes_at < dadbs.block_time() ORDER BY proposal_id;
  v_n int := 0;
BEGIN
  IF dadbs.origin_node() <> 'clerk' THEN RAISE EXCEPTION 'clerk only'; END IF;
  FOR r IN c LOOP
    UPDATE proposal SET decided = true, outcome = CASE WHEN r.yes_votes > r.no_votes THEN 'accepted' ELSE 'rejected' END WHERE proposal_id = r.proposal_id;
    v_n := v_n + 1;
  END LOOP;
  RETURN v_n;
END
