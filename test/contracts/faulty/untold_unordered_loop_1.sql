-- rule: unordered_loop
-- returns: void
-- arguments: p_pool numeric
DECLARE r record; v numeric := p_pool;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'no'; END IF;
  FOR r IN SELECT * FROM loan WHERE paid < principal ORDER BY principal LOOP
    EXIT WHEN v <= 0;
    UPDATE loan SET paid = paid + least(v, r.principal - r.paid) WHERE loan_id = r.loan_id;
    v := v - least(v, r.principal - r.paid);
  END LOOP;
END
