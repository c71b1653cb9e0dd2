"""Sound contracts of real life, as templates for generate.py, whose header says what the marks mean. {x_y} is a column or table of generate.TABLES."""

# Checks of who asks; one is chosen for each {AUTH}. {who} is the owner that the template knows.
AUTHORISATION = [
    ["IF dadbs.origin_node() <> '%m' THEN", "  RAISE EXCEPTION 'only %m may do this' USING ERRCODE = 'insufficient_privilege';", "END IF;"],
    ["IF dadbs.origin_node() NOT IN ('%m', 'auditor') THEN", "  RAISE EXCEPTION '% may not do this', dadbs.origin_node();", "END IF;"],
    ["IF dadbs.origin_node() IS DISTINCT FROM '%m' OR dadbs.session_user_name() <> 'clerk' THEN", "  RAISE EXCEPTION 'not allowed' USING ERRCODE = '42501';", "END IF;"],
    ["CASE dadbs.origin_node()", "  WHEN '%m' THEN NULL;", "  ELSE RAISE EXCEPTION 'only %m may';", "END CASE;"],
    ["IF NOT (dadbs.origin_node() = '%m') THEN", "  RAISE EXCEPTION 'only %m may' USING HINT = 'Ask %m.';", "END IF;"],
    ["IF NOT EXISTS (SELECT 1 FROM {acct} q WHERE q.{a_id} = dadbs.session_user_name() AND q.{a_owner} = dadbs.origin_node()) THEN",
     "  RAISE EXCEPTION 'no account here';", "END IF;"],
    ["IF dadbs.origin_node() = '%m' THEN", "  NULL;", "ELSE", "  RAISE EXCEPTION 'only %m may';", "END IF;"],
    ["IF {who} IS DISTINCT FROM dadbs.session_user_name() THEN", "  RAISE EXCEPTION 'not yours' USING ERRCODE = 'insufficient_privilege';", "END IF;"],
]

TEMPLATES = []


def template(name, text, **more):
    TEMPLATES.append(dict(name=name, text=text, **more))


# Triggers that only check.

template("amount_limit", """
BEGIN
  --@here
  IF NEW.{a_bal} > %k000 AND dadbs.origin_node() <> '%m' THEN
    RAISE EXCEPTION 'amount % needs %m', NEW.{a_bal} USING ERRCODE = 'check_violation';
  END IF;
  --@here
  RETURN NULL;
END
""", table="acct")

template("no_debt", """
BEGIN
  IF NEW.{a_bal} + NEW.{a_lim} < 0 THEN
    --@here
    RAISE EXCEPTION 'account % would be overdrawn by %', NEW.{a_id}, -NEW.{a_bal} - NEW.{a_lim} USING ERRCODE = '23514';
  ELSIF NEW.{a_lim} > %k00 THEN
    RAISE EXCEPTION 'limit is too high';
  END IF;
  --@here
  RETURN NULL;
END
""", table="acct")

template("credit_limit", """
DECLARE
  v_open [[numeric~double precision]]; --@alt:float_money.total_of_orders
  v_limit numeric;
BEGIN
  --@here
  SELECT {a_lim} INTO [[STRICT ~]]v_limit FROM {acct} WHERE {a_id} = NEW.{s_cust}; --@alt:nondeterminism.into_not_strict_key
  SELECT coalesce(sum({s_qty} * {s_price}), 0) INTO STRICT v_open FROM {sale} [[WHERE {s_cust} = NEW.{s_cust}~~WHERE {s_cust} = {s_cust}]]; --@alt:unbounded.condition_lost
  --@here
  IF v_open > v_limit THEN
    RAISE EXCEPTION 'customer % owes %, the limit is %', NEW.{s_cust}, v_open, v_limit;
  END IF;
  RETURN NULL;
END
""", table="sale")

template("state_machine", """
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.{s_state} <> 'new' THEN
      RAISE EXCEPTION 'an order begins as new';
    END IF;
    RETURN NULL;
  END IF;
  --@here
  IF NOT (OLD.{s_state} = NEW.{s_state}
          OR OLD.{s_state} = 'new' AND NEW.{s_state} IN ('paid', 'cancelled')
          OR OLD.{s_state} = 'paid' AND NEW.{s_state} = 'sent') THEN
    RAISE EXCEPTION 'from % to % there is no way', OLD.{s_state}, NEW.{s_state};
  END IF;
  CASE NEW.{s_state}
    WHEN 'sent' THEN
      IF dadbs.origin_node() <> '%m' THEN
        RAISE EXCEPTION 'only %m sends';
      END IF;
    ELSE
      NULL;
      --@here
  END CASE;
  RETURN NULL;
END
""", table="sale", ends=["reentrancy.own_insert"])

template("retention", """
BEGIN
  --@here
  IF dadbs.block_time() < OLD.{d_keep} THEN
    RAISE EXCEPTION 'document % is kept until %', OLD.{d_id}, OLD.{d_keep} USING ERRCODE = 'restrict_violation';
  END IF;
  --@here
  RETURN NULL;
END
""", table="doc", row="OLD")

template("erasure", """
DECLARE
  v_now timestamptz := [[dadbs.block_time()~clock_timestamp()~statement_timestamp()]]; --@alt:nondeterminism.clock_for_block_time
BEGIN
  IF NEW.{d_end} < NEW.{d_keep} THEN
    RAISE EXCEPTION 'must be erased before it may be';
  END IF;
  --@here
  IF NEW.{d_body} IS NOT NULL AND v_now > NEW.{d_end} THEN
    RAISE EXCEPTION 'document % should have been erased', NEW.{d_id} USING DETAIL = 'body is still there';
  END IF;
  RETURN NULL;
END
""", table="doc")

template("margin", """
DECLARE
  v_list numeric;
  v_share numeric;
BEGIN
  --@here
  SELECT {i_price} INTO STRICT v_list FROM {item} WHERE {i_sku} = NEW.{l_sku};
  IF v_list = 0 THEN --@guard:division.guard_removed:z
    RAISE EXCEPTION 'no list price for %', NEW.{l_sku}; --@guard:division.guard_removed:z
  END IF; --@guard:division.guard_removed:z
  v_share := NEW.{l_price} / v_list; --@use:z
  --@here
  IF v_share < 0.%k THEN
    RAISE EXCEPTION 'price is % of the list price', round(v_share, 3);
  END IF;
  RETURN NULL;
END
""", table="line")

template("unit_cost", """
BEGIN
  --@here
  IF NEW.{s_price} / [[nullif(NEW.{s_qty}, 0)~NEW.{s_qty}]] > %k THEN --@alt:division.nullif_removed
    RAISE EXCEPTION 'too dear for one piece';
  END IF;
  RETURN NULL;
END
""", table="sale")

template("discount_share", """
DECLARE
  v_share numeric;
BEGIN
  v_share := [[CASE WHEN NEW.{s_price} > 0 THEN NEW.{s_disc} / NEW.{s_price} ELSE 0 END~NEW.{s_disc} / NEW.{s_price}~CASE WHEN NEW.{s_qty} > 0 THEN NEW.{s_disc} / NEW.{s_price} ELSE 0 END]]; --@alt:division.case_removed
  --@here
  IF v_share > 0.5 THEN
    IF dadbs.origin_node() <> '%m' THEN
      RAISE EXCEPTION 'half price needs %m';
    END IF;
  END IF;
  RETURN NULL;
END
""", table="sale")

template("volume_limit", """
DECLARE
  v_volume integer;
BEGIN
  IF NEW.{l_qty} NOT BETWEEN 1 AND 10000 THEN --@guard:overflow.guard_removed:q
    RAISE EXCEPTION 'quantity % is out of range', NEW.{l_qty}; --@guard:overflow.guard_removed:q
  END IF; --@guard:overflow.guard_removed:q
  --@here
  v_volume := NEW.{l_qty} * %k; --@use:q
  IF v_volume > 100000 THEN
    RAISE EXCEPTION 'does not fit the store';
  END IF;
  RETURN NULL;
END
""", table="line")

template("weight_limit", """
DECLARE
  v_total bigint;
BEGIN
  --@here
  SELECT coalesce(sum({l_qty}), 0) INTO STRICT v_total FROM {line} WHERE {l_sale} = NEW.{l_sale};
  IF v_total > %k00 THEN
    RAISE EXCEPTION 'order % has % pieces', NEW.{l_sale}, v_total;
  END IF;
  --@here
  RETURN NULL;
END
""", table="line")

template("order_total", """
DECLARE
  v_line record;
  v_total [[numeric~real~float8]] := 0; --@alt:float_money.running_total
BEGIN
  FOR v_line IN SELECT {l_no} AS no, {l_qty} AS qty, {l_price} AS price FROM {line} WHERE {l_sale} = NEW.{s_id} [[ORDER BY {l_no}~~ORDER BY {l_price}]] LOOP --@alt:nondeterminism.loop_order
    --@here
    v_total := v_total + v_line.qty * v_line.price;
    IF v_total > %k000 THEN
      RAISE EXCEPTION 'line % is too much', v_line.no;
    END IF;
  END LOOP;
  IF v_total > NEW.{s_price} THEN
    RAISE EXCEPTION 'lines are % but the order says %', v_total, NEW.{s_price};
  END IF;
  RETURN NULL;
END
""", table="sale")

template("custody", """
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.{h_holder} <> OLD.{h_holder} THEN
    IF OLD.{h_next} IS DISTINCT FROM NEW.{h_holder} THEN
      RAISE EXCEPTION 'parcel % was handed to %', OLD.{h_id}, OLD.{h_next};
    END IF;
    IF dadbs.origin_node() <> NEW.{h_holder} THEN
      RAISE EXCEPTION '% has to confirm', NEW.{h_holder};
    END IF;
    --@here:once
  END IF;
  --@here
  RETURN NULL;
END
""", table="ship")

template("cold_chain", """
DECLARE
  v_spread numeric;
BEGIN
  --@here
  IF NEW.{h_temp} NOT BETWEEN -%j AND %k THEN
    RAISE EXCEPTION 'temperature % is out of range', NEW.{h_temp};
  END IF;
  v_spread := (NEW.{h_temp} - OLD.{h_temp}) / %k;
  IF abs(v_spread) > 1.5 AND NEW.{h_state} = 'cold' THEN
    RAISE EXCEPTION 'too fast';
  END IF;
  RETURN NULL;
END
""", table="ship")

template("supply_cap", """
BEGIN
  IF NEW.{t_units} < 0 THEN
    RAISE EXCEPTION 'balance of % cannot go below zero', NEW.{t_holder} USING ERRCODE = 'check_violation';
  END IF;
  --@here
  IF TG_OP = 'UPDATE' AND OLD.{t_frozen} AND NEW.{t_units} <> OLD.{t_units} THEN
    RAISE EXCEPTION '% is frozen', OLD.{t_holder};
  END IF;
  RETURN NULL;
END
""", table="tok")

template("one_vote", """
BEGIN
  --@here
  IF NEW.{v_voter} <> dadbs.origin_node() THEN
    RAISE EXCEPTION 'a member votes for itself';
  END IF;
  IF NEW.{v_weight} < 1 OR NEW.{v_weight} > %k THEN
    RAISE EXCEPTION 'weight % is not allowed', NEW.{v_weight};
  END IF;
  --@here
  RETURN NULL;
END
""", table="vote")

template("escrow_rules", """
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (NEW.{e_payer}, NEW.{e_payee}, NEW.{e_amt}) IS DISTINCT FROM (OLD.{e_payer}, OLD.{e_payee}, OLD.{e_amt}) THEN
      RAISE EXCEPTION 'the terms of escrow % are fixed', OLD.{e_id};
    END IF;
    --@here
    IF NEW.{e_state} = 'refunded' AND dadbs.block_time() < OLD.{e_due} THEN
      RAISE EXCEPTION 'not before %', OLD.{e_due};
    ELSIF NEW.{e_state} = 'released' AND dadbs.origin_node() <> OLD.{e_payer} THEN
      RAISE EXCEPTION 'only the payer releases';
    END IF;
  END IF;
  --@here
  RETURN NULL;
END
""", table="esc")

# Triggers that write elsewhere.

template("audit_accounts", """
BEGIN
  --@here
  INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}) VALUES (NEW.{a_id}, dadbs.transaction_id(), TG_OP, [[dadbs.block_time()~clock_timestamp()~timeofday()::timestamptz]]); --@alt:nondeterminism.clock_for_block_time
  --@here
  RETURN NULL;
END
""", table="acct")

template("audit_deletes", """
DECLARE
  v_who text := dadbs.origin_node() || '/' || dadbs.session_user_name();
BEGIN
  --@here
  INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}, {g_note})
    VALUES (OLD.{s_id}::text, dadbs.transaction_id(), lower(TG_OP), dadbs.block_time(), v_who);
  RETURN NULL;
END
""", table="sale", row="OLD")

template("audit_changes", """
DECLARE
  v_what text := '';
BEGIN
  IF NEW.{i_price} <> OLD.{i_price} THEN
    v_what := v_what || format('price %s -> %s;', OLD.{i_price}, NEW.{i_price});
  END IF;
  IF NEW.{i_kind} <> OLD.{i_kind} THEN
    v_what := v_what || format('kind %s -> %s;', OLD.{i_kind}, NEW.{i_kind});
  END IF;
  --@here
  IF v_what <> '' THEN
    INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}, {g_note}) VALUES (NEW.{i_sku}, dadbs.transaction_id(), 'change', dadbs.block_time(), v_what)
      ON CONFLICT ({g_subj}, {g_tx}, {g_op}) DO UPDATE SET {g_note} = excluded.{g_note};
  END IF;
  RETURN NULL;
END
""", table="item")

template("take_stock", """
BEGIN
  --@here
  IF NEW.{l_qty} <= 0 OR NEW.{l_qty} > 1000 THEN
    RAISE EXCEPTION 'quantity % is out of range', NEW.{l_qty};
  END IF;
  UPDATE {item} SET {i_stock} = {i_stock} - NEW.{l_qty} WHERE {i_sku} = NEW.{l_sku} AND {i_stock} >= NEW.{l_qty};
  IF NOT FOUND THEN
    RAISE EXCEPTION 'not enough of % in stock', NEW.{l_sku};
  END IF;
  --@here
  RETURN NULL;
END
""", table="line")

template("close_on_last", """
DECLARE
  v_open bigint;
BEGIN
  SELECT count(*) INTO STRICT v_open FROM {ship} WHERE {h_holder} = NEW.{h_holder} AND {h_state} <> 'arrived';
  --@here
  IF v_open = 0 THEN
    UPDATE {acct} SET {a_memo} = 'all arrived', {a_at} = dadbs.block_time() WHERE {a_id} = NEW.{h_holder};
  END IF;
  RETURN NULL;
END
""", table="ship")

# Calls.

template("transfer", """
DECLARE
  v_from numeric;
BEGIN
  {AUTH}
  --@here
  IF p_amount <= 0 OR p_from = p_to THEN
    RAISE EXCEPTION 'amount must be above zero';
  END IF;
  SELECT {a_bal} INTO STRICT v_from FROM {acct} WHERE {a_id} = p_from;
  IF v_from < p_amount THEN
    RAISE EXCEPTION '% has only %', p_from, v_from USING ERRCODE = 'check_violation';
  END IF;
  UPDATE {acct} SET {a_bal} = {a_bal} - p_amount WHERE {a_id} = p_from;
  UPDATE {acct} SET {a_bal} = {a_bal} + p_amount WHERE {a_id} = p_to;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no account %', p_to;
  END IF;
  --@here
END
""", table="acct", arguments="p_from text, p_to text, p_amount numeric")

template("token_transfer", """
DECLARE
  v_from bigint;
  v_to bigint;
BEGIN
  {AUTH}
  IF p_units < 1 OR p_units > 1000000 THEN --@guard:overflow.token_guard_removed:t
    RAISE EXCEPTION 'units % are out of range', p_units; --@guard:overflow.token_guard_removed:t
  END IF; --@guard:overflow.token_guard_removed:t
  --@here
  SELECT {t_units} INTO STRICT v_from FROM {tok} WHERE {t_holder} = p_from;
  SELECT {t_units} INTO STRICT v_to FROM {tok} WHERE {t_holder} = p_to;
  IF v_from < p_units OR v_to > 1000000000000 THEN --@guard:overflow.token_guard_removed:t
    RAISE EXCEPTION 'cannot move % units', p_units; --@guard:overflow.token_guard_removed:t
  END IF; --@guard:overflow.token_guard_removed:t
  UPDATE {tok} SET {t_units} = v_from - p_units WHERE {t_holder} = p_from; --@use:t
  UPDATE {tok} SET {t_units} = v_to + p_units WHERE {t_holder} = p_to; --@use:t
END
""", table="tok", arguments="p_from text, p_to text, p_units bigint", who="p_from")

template("mint", """
DECLARE
  v_supply numeric;
BEGIN
  {AUTH}
  --@here
  SELECT {t_units} INTO STRICT v_supply FROM {tok} WHERE {t_holder} = 'treasury';
  IF p_units <= 0 OR v_supply + p_units > %k000000 THEN
    RAISE EXCEPTION 'supply is capped';
  END IF;
  UPDATE {tok} SET {t_units} = v_supply + p_units WHERE {t_holder} = 'treasury' AND NOT {t_frozen};
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no treasury';
  END IF;
END
""", table="tok", arguments="p_units numeric")

template("open_escrow", """
BEGIN
  {AUTH}
  IF p_amount <= 0 THEN
    RAISE EXCEPTION 'nothing to hold';
  END IF;
  --@here
  UPDATE {acct} SET {a_bal} = {a_bal} - p_amount WHERE {a_id} = p_payer AND {a_bal} >= p_amount;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% cannot pay %', p_payer, p_amount;
  END IF;
  INSERT INTO {esc}({e_id}, {e_payer}, {e_payee}, {e_amt}, {e_state}, {e_due})
    VALUES (p_id, p_payer, p_payee, p_amount, 'held', dadbs.block_time() + interval '%k days');
  --@here
END
""", table="esc", arguments="p_id bigint, p_payer text, p_payee text, p_amount numeric", who="p_payer")

template("release_escrow", """
DECLARE
  v_e record;
BEGIN
  SELECT {e_payer} AS payer, {e_payee} AS payee, {e_amt} AS amount, {e_state} AS state INTO STRICT v_e FROM {esc} WHERE {e_id} = p_id;
  {AUTH}
  IF v_e.state <> 'held' THEN
    RAISE EXCEPTION 'escrow % is %', p_id, v_e.state;
  END IF;
  --@here
  UPDATE {esc} SET {e_state} = 'released' WHERE {e_id} = p_id;
  UPDATE {acct} SET {a_bal} = {a_bal} + v_e.amount WHERE {a_id} = v_e.payee;
END
""", table="esc", arguments="p_id bigint", who="v_e.payer")

template("refund_escrow", """
DECLARE
  v_amount numeric;
  v_payer text;
  v_due timestamptz;
BEGIN
  {AUTH}
  SELECT {e_amt}, {e_payer}, {e_due} INTO [[STRICT ~]]v_amount, v_payer, v_due FROM {esc} WHERE {e_id} = p_id AND {e_state} = 'held'; --@alt:nondeterminism.into_not_strict_key
  --@here
  IF dadbs.block_time() < v_due THEN
    RAISE EXCEPTION 'not before %', v_due;
  END IF;
  UPDATE {acct} SET {a_bal} = {a_bal} + v_amount WHERE {a_id} = v_payer;
  DELETE FROM {esc} WHERE {e_id} = p_id;
END
""", table="esc", arguments="p_id bigint")

template("hand_over", """
DECLARE
  v_holder text;
BEGIN
  SELECT {h_holder} INTO STRICT v_holder FROM {ship} WHERE {h_id} = p_id;
  {AUTH}
  --@here
  UPDATE {ship} SET {h_next} = p_next, {h_state} = 'handed', {h_at} = dadbs.block_time() WHERE {h_id} = p_id AND {h_state} <> 'arrived';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'parcel % has arrived', p_id;
  END IF;
  INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}) VALUES (p_id::text, dadbs.transaction_id(), 'hand-over', dadbs.block_time());
END
""", table="ship", arguments="p_id bigint, p_next text", who="v_holder")

template("interest", """
DECLARE
  v_account record;
BEGIN
  {AUTH}
  IF p_percent < 0 OR p_percent > 20 THEN
    RAISE EXCEPTION 'percent is out of range';
  END IF;
  FOR v_account IN SELECT {a_id} AS id, {a_bal} AS balance FROM {acct} WHERE {a_owner} = p_owner [[ORDER BY {a_id} LIMIT %k~LIMIT %k~ORDER BY {a_bal} LIMIT %k]] LOOP --@alt:nondeterminism.limit_order
    --@here
    UPDATE {acct} SET {a_bal} = v_account.balance + round(v_account.balance * p_percent / 100, 2) WHERE {a_id} = v_account.id;
  END LOOP;
END
""", table="acct", arguments="p_owner text, p_percent numeric")

template("share_profit", """
DECLARE
  v_voter record;
  v_all numeric;
  v_part numeric;
BEGIN
  {AUTH}
  SELECT coalesce(sum({v_weight}), 0) INTO STRICT v_all FROM {vote} WHERE {v_ballot} = p_ballot;
  IF v_all <= 0 THEN --@guard:division.sum_guard_removed:s
    RAISE EXCEPTION 'nobody has shares'; --@guard:division.sum_guard_removed:s
  END IF; --@guard:division.sum_guard_removed:s
  --@here
  FOR v_voter IN SELECT {v_voter} AS name, {v_weight} AS weight FROM {vote} WHERE {v_ballot} = p_ballot ORDER BY {v_voter} LOOP
    v_part := round(p_profit * v_voter.weight / v_all, 2); --@use:s
    UPDATE {acct} SET {a_bal} = {a_bal} + v_part WHERE {a_id} = v_voter.name;
  END LOOP;
END
""", table="vote", arguments="p_ballot bigint, p_profit numeric")

template("count_votes", """
DECLARE
  v_yes bigint;
  v_all bigint;
BEGIN
  --@here
  SELECT coalesce(sum({v_weight}) FILTER (WHERE {v_choice} = 'yes'), 0), coalesce(sum({v_weight}), 0) INTO STRICT v_yes, v_all FROM {vote} WHERE {v_ballot} = p_ballot;
  IF v_all = 0 THEN
    RETURN false;
  END IF;
  RETURN v_yes::numeric / v_all > 0.%k;
END
""", table="vote", arguments="p_ballot bigint", returns="boolean")

template("price_of", """
DECLARE
  v_price numeric;
BEGIN
  --@here
  IF p_qty IS NULL OR p_qty < 1 OR p_qty > 1000 THEN
    RAISE EXCEPTION 'quantity % is out of range', p_qty;
  END IF;
  SELECT {i_price} INTO STRICT v_price FROM {item} WHERE {i_sku} = p_sku;
  RETURN round(v_price * p_qty * CASE WHEN p_qty >= %k THEN 0.9 ELSE 1 END, 2);
END
""", table="item", arguments="p_sku text, p_qty integer", returns="numeric")

template("best_offer", """
DECLARE
  v_sku text;
BEGIN
  --@here
  SELECT {i_sku} INTO STRICT v_sku FROM {item} WHERE {i_kind} = p_kind AND {i_stock} > 0 [[ORDER BY {i_price}, {i_sku}~ORDER BY {i_price}~]] LIMIT 1; --@alt:nondeterminism.limit_order
  RETURN v_sku;
END
""", table="item", arguments="p_kind text", returns="text")

template("skus_of", """
DECLARE
  v_all text;
BEGIN
  SELECT string_agg({l_sku}, ',' [[ORDER BY {l_no}~~ORDER BY {l_qty}]]) INTO STRICT v_all FROM {line} WHERE {l_sale} = p_sale; --@alt:nondeterminism.aggregate_order
  --@here
  RETURN coalesce(v_all, 'none');
END
""", table="line", arguments="p_sale bigint", returns="text")

template("next_number", """
DECLARE
  v_last bigint;
BEGIN
  {AUTH}
  --@here
  SELECT coalesce(max({s_id}), 0) INTO STRICT v_last FROM {sale} WHERE {s_cust} = p_customer;
  IF v_last > 1000000000 THEN --@guard:overflow.counter_guard_removed:c
    RAISE EXCEPTION 'numbers are used up'; --@guard:overflow.counter_guard_removed:c
  END IF; --@guard:overflow.counter_guard_removed:c
  INSERT INTO {sale}({s_id}, {s_cust}, {s_qty}, {s_price}, {s_state}) VALUES (v_last + 1, p_customer, 1, 0, 'new'); --@use:c
END
""", table="sale", arguments="p_customer text")

template("restock", """
DECLARE
  v_now integer;
BEGIN
  {AUTH}
  SELECT {i_stock} INTO STRICT v_now FROM {item} WHERE {i_sku} = p_sku;
  IF p_qty < 1 OR p_qty > 100000 OR v_now < 0 OR v_now > 1000000 THEN --@guard:overflow.stock_guard_removed:r
    RAISE EXCEPTION 'quantity % is out of range', p_qty; --@guard:overflow.stock_guard_removed:r
  END IF; --@guard:overflow.stock_guard_removed:r
  --@here
  UPDATE {item} SET {i_stock} = v_now + p_qty WHERE {i_sku} = p_sku; --@use:r
END
""", table="item", arguments="p_sku text, p_qty integer")

template("instalments", """
DECLARE
  v_i integer;
  v_rest numeric := p_total;
  v_rate numeric;
BEGIN
  {AUTH}
  IF p_months NOT BETWEEN 1 AND 60 THEN --@guard:unbounded.bound_removed:m
    RAISE EXCEPTION 'from 1 to 60 months'; --@guard:unbounded.bound_removed:m
  END IF; --@guard:unbounded.bound_removed:m
  v_rate := round(p_total / 60, 2);
  --@here
  FOR v_i IN 1 .. p_months LOOP --@use:m
    INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}, {g_note})
      VALUES (p_account, dadbs.transaction_id(), 'instalment ' || v_i, dadbs.block_time(), v_rate::text);
    v_rest := v_rest - v_rate;
  END LOOP;
END
""", table="acct", arguments="p_account text, p_total numeric, p_months integer")

template("approve_chain", """
DECLARE
  v_step integer := 0;
  v_next text := p_first;
BEGIN
  WHILE v_next IS NOT NULL [[AND v_step < %k ~]]LOOP --@alt:unbounded.step_limit_removed
    SELECT {a_memo} INTO STRICT v_next FROM {acct} WHERE {a_id} = v_next;
    --@here
    v_step := v_step + 1;
  END LOOP;
  RETURN v_step;
END
""", table="acct", arguments="p_first text", returns="integer")

template("atomic_swap", """
DECLARE
  v_e record;
BEGIN
  {AUTH}
  SELECT {e_payer} AS payer, {e_payee} AS payee, {e_amt} AS amount INTO STRICT v_e FROM {esc} WHERE {e_id} = p_id AND {e_state} = 'locked';
  --@here
  IF sha256(p_key) <> p_hash THEN
    RAISE EXCEPTION 'wrong key';
  END IF;
  UPDATE {esc} SET {e_state} = 'done' WHERE {e_id} = p_id;
  UPDATE {acct} SET {a_owner} = v_e.payee WHERE {a_id} = p_asset AND {a_owner} = v_e.payer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the asset has gone';
  END IF;
  --@here
END
""", table="esc", arguments="p_id bigint, p_asset text, p_key bytea, p_hash bytea")

template("cancel_order", """
BEGIN
  {AUTH}
  --@here
  DELETE FROM {line} WHERE {l_sale} = p_sale;
  UPDATE {sale} SET {s_state} = 'cancelled', {s_at} = dadbs.block_time() WHERE {s_id} = p_sale AND {s_state} = 'new';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'order % cannot be cancelled', p_sale;
  END IF;
END
""", table="sale", arguments="p_sale bigint")

# SQL.

template("sql_balance", """
SELECT {a_bal} * [[1.05~1.05::float8]] FROM {acct} WHERE {a_id} = p_id --@alt:float_money.sql_factor
""", table="acct", language="sql", arguments="p_id text", returns="numeric")

template("sql_debit", """
UPDATE {acct} SET {a_bal} = {a_bal} - p_amount
  WHERE {a_id} = p_id AND {a_bal} >= p_amount AND p_amount > 0 [[AND dadbs.origin_node() = '%m'~]] --@alt:missing_authorisation.sql_condition_removed
""", table="acct", language="sql", arguments="p_id text, p_amount numeric", returns="void")

template("sql_newest", """
SELECT {s_id} FROM {sale} WHERE {s_cust} = p_customer
  [[ORDER BY {s_at} DESC, {s_id} LIMIT 1~LIMIT 1~ORDER BY {s_at} DESC LIMIT 1]] --@alt:nondeterminism.sql_limit_order
""", table="sale", language="sql", arguments="p_customer text", returns="bigint")

template("sql_names", """
SELECT string_agg({l_sku}, ',' [[ORDER BY {l_no}~~ORDER BY {l_price}]]) --@alt:nondeterminism.sql_aggregate_order
FROM {line} WHERE {l_sale} = p_sale
""", table="line", language="sql", arguments="p_sale bigint", returns="text")

template("sql_share", """
SELECT a.{a_bal} / [[nullif(b.{a_bal}, 0)~b.{a_bal}]] --@alt:division.sql_nullif_removed
FROM {acct} a JOIN {acct} b ON b.{a_id} = p_other WHERE a.{a_id} = p_id
""", table="acct", language="sql", arguments="p_id text, p_other text", returns="numeric")

template("sql_expired", """
SELECT count(*) FROM {doc} WHERE {d_kind} = p_kind AND {d_end} < [[dadbs.block_time()~clock_timestamp()]] --@alt:nondeterminism.sql_clock
""", table="doc", language="sql", arguments="p_kind text", returns="bigint")

template("sql_scaled", """
SELECT [[least(greatest(p_n, 0), 1000)~p_n]] * %k --@alt:overflow.sql_clamp_removed
""", table="acct", language="sql", arguments="p_n integer", returns="integer")

template("sql_log", """
INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at})
  SELECT p_subject, dadbs.transaction_id(), 'note', dadbs.block_time() [[WHERE dadbs.origin_node() IN ('%m', 'auditor')~]] --@alt:missing_authorisation.sql_condition_removed
""", table="log", language="sql", arguments="p_subject text", returns="void")
