-- rule: sound
-- returns: numeric
-- arguments: p_id bigint
DECLARE v_yes numeric; v_all numeric;
BEGIN
  SELECT yes_votes, yes_votes + no_votes INTO STRICT v_yes, v_all FROM proposal WHERE proposal_id = p_id;
  IF v_all = 0 THEN
    RETURN 0;
  END IF;
  RETURN round(100.0 * v_yes / v_all, 1);
END
