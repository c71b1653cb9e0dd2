-- rule: sound
-- returns: numeric
-- arguments: p_supplier text
DECLARE v_sum numeric; v_cnt bigint;
BEGIN
  SELECT sum(unit_price), count(*) INTO v_sum, v_cnt FROM product WHERE supplier = p_supplier;
  RETURN CASE WHEN v_cnt > 0 THEN round(v_sum / v_cnt, 2) END;
END
