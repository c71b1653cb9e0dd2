-- class: division
-- source: CWE-369; PostgreSQL docs, appendix A: 22012 division_by_zero
-- lines: 5
-- arguments: p_id bigint
-- returns: numeric
DECLARE
  v_p record;
BEGIN
  SELECT yes, no INTO STRICT v_p FROM proposals WHERE id = p_id;
  RETURN 100 * v_p.yes::numeric / (v_p.yes::numeric + v_p.no);
END
