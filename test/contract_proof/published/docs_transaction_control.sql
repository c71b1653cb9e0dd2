-- class: nondeterminism
-- source: PostgreSQL docs 43.8 Transaction management: COMMIT in a loop
-- lines: 4
-- arguments: p_n text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  UPDATE accounts SET kind = p_n WHERE id = 'a';
  COMMIT;
END
