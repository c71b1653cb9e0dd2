-- rule: wall_clock
-- returns: void
-- arguments: p_id bigint
BEGIN
  IF dadbs.origin_node() <> 'clerk' THEN RAISE EXCEPTION 'no'; END IF;
  UPDATE proposal SET closes_at = current_timestamp + interval '7 days' WHERE proposal_id = p_id;
END
