-- class: nondeterminism
-- source: SWC-120 Weak sources of randomness
-- lines: 5
-- arguments: p_game bigint
DECLARE
  v_win integer;
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  v_win := floor(random() * 10)::integer;
  UPDATE accounts a SET balance = a.balance + 1 WHERE a.id = (SELECT g.player FROM games g WHERE g.id = p_game AND g.guess = v_win);
END
