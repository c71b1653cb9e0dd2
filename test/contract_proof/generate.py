#!/usr/bin/python3
"""Contracts with one known fault each, and sound ones: what proves the static analysis (dadbs.analyze_contract).

  test/contract_proof/generate.py [--seed N] [--faulty N] [--sound N] [--forms]     prints them; scripts/analyze-proof runs them

Written from the list of faults in the design, not from the rules
(docs/contract-analysis-proof.md says how independent that is). contract_templates.py has sound contracts of real life
in which places are marked where a fault can be put; this file chooses tables, names, constants, forms and nesting by the seed and puts exactly one
fault into each faulty contract. A fault has a class, a form within it (class.form) and the lines on which a finding may stand.
The same seed gives the same contracts, whatever the version of Python: only Random.random() is used.

A template's line may end with a mark:
  --@alt:FORM       the line holds [[sound~faulty~faulty...]]: the fault is the text after a tilde
  --@guard:FORM:ID  the fault is that the line (all lines with this ID) is left out; it shows on the lines with --@use:ID
  --@use:ID
  --@auth           a check of the origin or caller; it shows on the lines that write
  --@here           a line of its own: statements may be put here; --@here:once if the contract does not come here when it is fired by itself
"""
import argparse
import random
import re

from contract_templates import AUTHORISATION, TEMPLATES

WORLDS = 4

# One table of each kind in every world: the names to choose from, then columns as (placeholder, names, type).
SPARE = lambda p: [(p + "_n", ["pieces", "parts", "copies", "grade", "batch_no", "factor"], "integer"),
                   (p + "_rate", ["rate", "ratio", "weight", "density"], "numeric"),
                   (p + "_memo", ["memo", "remark", "note", "label"], "text")]
TABLES = {
    "acct": (["account", "wallet", "purse", "deposit"], [
        ("a_id", ["id", "iban", "account_no"], "text PRIMARY KEY"), ("a_owner", ["owner", "holder", "party"], "text NOT NULL"),
        ("a_bal", ["balance", "amount", "funds"], "numeric(18,2) NOT NULL"), ("a_lim", ["credit_limit", "overdraft", "max_debt"], "numeric(18,2) NOT NULL"),
        ("a_at", ["changed_at", "opened_at"], "timestamptz")] + SPARE("a"), "a_owner"),
    "sale": (["orders", "sale", "purchase", "booking"], [
        ("s_id", ["id", "order_id", "sale_no"], "bigint PRIMARY KEY"), ("s_cust", ["customer", "buyer", "client"], "text NOT NULL"),
        ("s_qty", ["quantity", "qty", "units"], "integer NOT NULL"), ("s_price", ["price", "unit_price", "cost"], "numeric(12,2) NOT NULL"),
        ("s_disc", ["discount", "rebate"], "numeric(5,2)"), ("s_state", ["state", "status"], "text NOT NULL"),
        ("s_at", ["placed_at", "ordered_at"], "timestamptz")] + SPARE("s"), "s_cust"),
    "line": (["order_line", "position", "sale_item"], [
        ("l_sale", ["order_id", "sale", "parent"], "bigint"), ("l_no", ["line", "item_no", "pos"], "integer"), ("l_sku", ["sku", "product", "article"], "text NOT NULL"),
        ("l_qty", ["quantity", "qty", "units"], "integer NOT NULL"), ("l_price", ["price", "unit_price"], "numeric(12,2) NOT NULL")] + SPARE("l"), None),
    "item": (["stock", "article", "product"], [
        ("i_sku", ["sku", "code", "article_no"], "text PRIMARY KEY"), ("i_stock", ["on_hand", "in_stock", "available"], "integer NOT NULL"),
        ("i_price", ["price", "list_price"], "numeric(12,2) NOT NULL"), ("i_kind", ["kind", "category"], "text NOT NULL")] + SPARE("i"), "i_kind"),
    "log": (["audit", "trail", "history", "logbook"], [
        ("g_subj", ["subject", "what", "object"], "text"), ("g_tx", ["tx", "transaction"], "text"), ("g_op", ["op", "action"], "text"),
        ("g_at", ["at", "logged_at", "moment"], "timestamptz"), ("g_note", ["detail", "who"], "text")], None),
    "esc": (["escrow", "pledge", "bond"], [
        ("e_id", ["id", "escrow_no"], "bigint PRIMARY KEY"), ("e_payer", ["payer", "debtor"], "text NOT NULL"), ("e_payee", ["payee", "creditor"], "text NOT NULL"),
        ("e_amt", ["amount", "value", "sum_held"], "numeric(18,2) NOT NULL"), ("e_state", ["state", "status"], "text NOT NULL"),
        ("e_due", ["due_at", "release_at", "refund_after"], "timestamptz NOT NULL")] + SPARE("e"), "e_payer"),
    "doc": (["document", "record_file", "invoice_copy"], [
        ("d_id", ["id", "doc_no"], "bigint PRIMARY KEY"), ("d_kind", ["kind", "category"], "text NOT NULL"), ("d_keep", ["keep_until", "retain_until"], "timestamptz NOT NULL"),
        ("d_end", ["erase_after", "delete_by"], "timestamptz NOT NULL"), ("d_body", ["body", "content"], "text"), ("d_hash", ["hash", "digest"], "bytea")] + SPARE("d"), "d_kind"),
    "ship": (["shipment", "parcel", "consignment"], [
        ("h_id", ["id", "parcel_no"], "bigint PRIMARY KEY"), ("h_holder", ["holder", "carrier"], "text NOT NULL"), ("h_next", ["next_holder", "handed_to"], "text"),
        ("h_state", ["state", "status"], "text NOT NULL"), ("h_at", ["since", "moved_at"], "timestamptz"), ("h_temp", ["temperature", "celsius"], "numeric")] + SPARE("h"), "h_holder"),
    "tok": (["token", "coin", "voucher"], [
        ("t_holder", ["holder", "owner"], "text PRIMARY KEY"), ("t_units", ["units", "balance", "coins"], "bigint NOT NULL"),
        ("t_frozen", ["frozen", "locked"], "boolean NOT NULL")] + SPARE("t"), None),
    "vote": (["vote", "ballot_paper", "poll"], [
        ("v_ballot", ["ballot", "motion"], "bigint"), ("v_voter", ["voter", "member_name"], "text"), ("v_choice", ["choice", "answer"], "text NOT NULL"),
        ("v_weight", ["shares", "votes"], "integer NOT NULL")] + SPARE("v"), None),
    "led": (["ledger", "posting", "register"], [
        ("r_id", ["id", "posting_no"], "bigint PRIMARY KEY"), ("r_acct", ["account", "side"], "text NOT NULL"), ("r_amt", ["amount", "value"], "numeric(18,2) NOT NULL")], None),
    "sec": (["payroll", "salary", "medical_file"], [
        ("x_id", ["id", "person"], "text PRIMARY KEY"), ("x_val", ["amount", "secret"], "numeric(18,2)")], None),
    "tick": (["ticket", "receipt", "voucher_no"], [
        ("k_subj", ["subject", "about"], "text PRIMARY KEY"), ("k_id", ["code", "token_id"], "uuid DEFAULT gen_random_uuid()"), ("k_at", ["made_at", "issued_at"], "timestamptz")], None),
    "loc": (["scratch", "local_notes", "cache_table"], [
        ("y_id", ["id", "key"], "text PRIMARY KEY"), ("y_val", ["value", "val"], "numeric")], None),
}
KEYS = {"line": ["l_sale", "l_no"], "log": ["g_subj", "g_tx", "g_op"], "vote": ["v_ballot", "v_voter"]}
TEXTS = {"acct": "a_id", "sale": "s_cust", "line": "l_sku", "item": "i_sku", "esc": "e_payer", "doc": "d_kind", "ship": "h_holder", "tok": "t_holder", "vote": "v_voter"}
MEMBERS = ["bank", "north", "south", "agency", "carrier", "port", "clinic", "notary", "customs", "mill"]
FACTORS = ["1.05", "1.10", "0.95", "1.2", "0.5"]


class Dice:
    """Choices that depend on the seed and nothing else."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def below(self, n):
        return int(self.random.random() * n)

    def pick(self, things):
        return things[self.below(len(things))]

    def chance(self, p):
        return self.random.random() < p

    def shuffled(self, things):
        things = list(things)
        for i in range(len(things) - 1, 0, -1):
            j = self.below(i + 1)
            things[i], things[j] = things[j], things[i]
        return things


class World:
    """Tables with their names; contracts of one world use only them."""

    def __init__(self, number, dice):
        self.number = number
        self.names = {}
        for key, (names, columns, _) in TABLES.items():
            self.names[key] = f"{dice.pick(names)}_{number}"
            taken = set()
            for placeholder, candidates, _ in columns:
                free = [c for c in candidates if c not in taken] or [candidates[0] + "_2"]
                self.names[placeholder] = dice.pick(free)
                taken.add(self.names[placeholder])
        for key in ("fn", "stable_fn", "imm", "vw", "seq"):
            self.names[key] = f"{key}_{number}"
        self.names["ring"] = f"ring_{number}"

    def put(self, text):
        return re.sub(r"\{(\w+)\}", lambda m: self.names[m.group(1)], text)

    def ddl(self):
        out = []
        for key, (_, columns, index) in TABLES.items():
            parts = [f"{self.names[p]} {kind}" for p, _, kind in columns]
            if key in KEYS:
                parts.append("PRIMARY KEY (" + ", ".join(self.names[k] for k in KEYS[key]) + ")")
            out.append((key, f"CREATE TABLE {self.names[key]} ({', '.join(parts)})"))
            if index:
                out.append((key, f"CREATE INDEX ON {self.names[key]} ({self.names[index]})"))
        out += [("fn", self.put("CREATE FUNCTION {fn}(x numeric) RETURNS numeric VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN x * random(); END'")),
                ("fn", self.put("CREATE FUNCTION {stable_fn}(x text) RETURNS numeric STABLE LANGUAGE plpgsql AS "
                                "'BEGIN RETURN (SELECT {a_bal} FROM {acct} WHERE {a_id} = x); END'")),
                ("fn", self.put("CREATE FUNCTION {imm}(x numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT round(x * 1.19, 2)'")),
                ("vw", self.put("CREATE VIEW {vw} AS SELECT {a_id} AS id, {a_bal} * random() AS v FROM {acct}")),
                ("seq", self.put("CREATE SEQUENCE {seq}"))]
        return out

    def ring(self):
        """A contract that is deployed and attached before: postings change accounts. Whatever on accounts posts closes a ring."""
        return (self.names["ring"], self.put("BEGIN\n  UPDATE {acct} SET {a_bal} = {a_bal} + NEW.{r_amt} WHERE {a_id} = NEW.{r_acct};\n  RETURN NULL;\nEND"),
                self.names["led"])


class Contract:
    def __init__(self, template, world, lines):
        self.template, self.world, self.lines = template, world, lines
        self.language = template.get("language", "plpgsql")
        self.arguments = template.get("arguments", "")
        self.returns = template.get("returns", "void" if self.arguments else "trigger")
        self.table = world.names[template["table"]] if self.returns == "trigger" else None
        self.fault = None       # class.form
        self.at = []            # lines, from 1
        self.body = ""
        self.name = ""


# Statements that are a fault wherever they stand. {T} is a text from outside, {N} an integer, {M} money, {D} a number: what comes with the row or call.
# (form, declarations, statements); %x is a constant chosen by the seed, lines that start with ! are where the fault is (all if none).
INSERTED = [
    ("unauthorised.catalog_passwords", ["v_pw text"], ["SELECT rolpassword INTO STRICT v_pw FROM pg_authid WHERE rolname = {T};"]),
    ("unauthorised.catalog_shadow", ["v_pw text"], ["SELECT s.passwd INTO STRICT v_pw FROM pg_catalog.pg_shadow s WHERE s.usename = 'postgres';"]),
    ("unauthorised.table_read", ["v_pay numeric"], ["SELECT {x_val} INTO STRICT v_pay FROM {sec} WHERE {x_id} = {T};"]),
    ("unauthorised.table_write", [], ["UPDATE {sec} SET {x_val} = %k WHERE {x_id} = {T};"]),
    ("unauthorised.table_delete", [], ["DELETE FROM {sec} WHERE {x_id} = {T};"]),
    ("unauthorised.table_insert", [], ["INSERT INTO {sec}({x_id}, {x_val}) VALUES ({T}, %k);"]),
    ("unauthorised.table_subquery", [], ["IF EXISTS (SELECT 1 FROM {sec} s WHERE s.{x_id} = {T}) THEN", "  RAISE EXCEPTION 'on the pay list';", "END IF;"]),
    ("unauthorised.internal_schema", ["v_k bigint"], ["SELECT count(*) INTO STRICT v_k FROM dadbs_internal.contract_version;"]),
    ("unauthorised.read_file", ["v_f text"], ["v_f := pg_read_file('postgresql.conf');"]),
    ("unauthorised.list_directory", ["v_k bigint"], ["SELECT count(*) INTO STRICT v_k FROM pg_ls_dir('.');"]),
    ("unauthorised.large_object", [], ["PERFORM lo_export(%k, '/tmp/' || {T});"]),
    ("unauthorised.set_role", [], ["SET ROLE postgres;"]),
    ("unauthorised.terminate", [], ["PERFORM pg_terminate_backend(%k);"]),
    ("unauthorised.grant", [], ["GRANT SELECT ON {acct} TO PUBLIC;"]),
    ("unauthorised.program", [], ["COPY {acct} TO PROGRAM 'cat > /tmp/out';"]),

    ("overflow.product", ["v_big integer"], ["v_big := {N} * %k;"]),
    ("overflow.sum", ["v_big integer"], ["v_big := {N} + %k;"]),
    ("overflow.square", ["v_big integer"], ["v_big := {N} * {N};"]),
    ("overflow.power_of_ten", ["v_big bigint"], ["v_big := {N} * 1000000;"]),
    ("overflow.narrowing", ["v_small smallint"], ["v_small := {N}::smallint;"]),
    ("overflow.in_condition", [], ["IF {N} * %k > 1000000 THEN", "  RAISE EXCEPTION 'too many';", "END IF;"]),
    ("overflow.in_statement", [], ["UPDATE {item} SET {i_stock} = {i_stock} + {N} WHERE {i_sku} = {T};"]),
    ("overflow.guard_below_only", ["v_big integer"], ["IF {N} < 0 THEN", "  RAISE EXCEPTION 'negative';", "END IF;", "!v_big := {N} * %k;"]),
    ("overflow.negated", ["v_big integer"], ["v_big := 0 - {N} - %k;"]),
    ("overflow.guard_late", ["v_big integer"], ["!v_big := {N} * %k;", "IF {N} > 1000 OR {N} < 0 THEN", "  RAISE EXCEPTION 'out of range';", "END IF;"]),

    ("division.direct", ["v_share numeric"], ["v_share := %k / {D};"]),
    ("division.integer", ["v_share integer"], ["v_share := %k / {N};"]),
    ("division.modulo", [], ["IF %k % {N} <> 0 THEN", "  RAISE EXCEPTION 'does not divide';", "END IF;"]),
    ("division.mod_function", ["v_share integer"], ["v_share := mod(%k, {N});"]),
    ("division.div_function", ["v_share numeric"], ["v_share := div(%k, {D});"]),
    ("division.difference", ["v_share numeric"], ["v_share := %k / ({D} - %j);"]),
    ("division.in_statement", [], ["UPDATE {acct} SET {a_lim} = %k / {D} WHERE {a_id} = {T};"]),
    ("division.wrong_guard", ["v_share numeric"], ["IF {N} = 0 THEN", "  RAISE EXCEPTION 'nothing';", "END IF;", "!v_share := %k / {D};"]),
    ("division.guard_admits_zero", ["v_share numeric"], ["IF {D} < 0 THEN", "  RAISE EXCEPTION 'negative';", "END IF;", "!v_share := %k / {D};"]),
    ("division.guard_notice", ["v_share numeric"], ["IF {D} = 0 THEN", "  RAISE NOTICE 'nothing to share';", "END IF;", "!v_share := %k / {D};"]),
    ("division.column", ["v_share numeric"], ["SELECT a.{a_bal} / a.{a_rate} INTO STRICT v_share FROM {acct} a WHERE a.{a_id} = {T};"]),
    ("division.through_variable", ["v_share numeric", "v_den numeric"], ["v_den := {D};", "!v_share := %k / v_den;"]),

    ("nondeterminism.random", ["v_r numeric"], ["v_r := random() * %k;"]),
    ("nondeterminism.random_condition", [], ["IF random() < 0.5 THEN", "  RAISE EXCEPTION 'bad luck';", "END IF;"]),
    ("nondeterminism.clock", ["v_t timestamptz"], ["v_t := clock_timestamp();"]),
    ("nondeterminism.statement_timestamp", ["v_t timestamptz"], ["v_t := statement_timestamp();"]),
    ("nondeterminism.timeofday", ["v_t text"], ["v_t := timeofday();"]),
    ("nondeterminism.clock_statement", [], ["INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at})", "  VALUES ({T}, dadbs.transaction_id(), 'clock', clock_timestamp());"]),
    ("nondeterminism.uuid", ["v_u uuid"], ["v_u := gen_random_uuid();"]),
    ("nondeterminism.sequence", ["v_q bigint"], ["v_q := nextval('{seq}');"]),
    ("nondeterminism.txid", ["v_q bigint"], ["v_q := txid_current();"]),
    ("nondeterminism.backend_pid", ["v_p integer"], ["v_p := pg_backend_pid();"]),
    ("nondeterminism.current_setting", ["v_s text"], ["v_s := current_setting('work_mem');"]),
    ("nondeterminism.server_version", ["v_s text"], ["v_s := version();"]),
    ("nondeterminism.client_address", ["v_a inet"], ["v_a := inet_client_addr();"]),
    ("nondeterminism.table_size", ["v_q bigint"], ["v_q := pg_relation_size('{acct}');"]),
    ("nondeterminism.current_user", [], ["IF current_user <> '%m' THEN", "  RAISE EXCEPTION 'not you';", "END IF;"]),
    ("nondeterminism.volatile_function", ["v_r numeric"], ["v_r := {fn}(%k);"]),
    ("nondeterminism.user_stable_function", ["v_r numeric"], ["v_r := {stable_fn}({T});"]),
    ("nondeterminism.view", ["v_r numeric"], ["SELECT v INTO STRICT v_r FROM {vw} WHERE id = {T};"]),
    ("nondeterminism.default", [], ["INSERT INTO {tick}({k_subj}, {k_at}) VALUES ({T}, dadbs.block_time());"]),
    ("nondeterminism.execute", [], ["EXECUTE format('UPDATE %I SET {a_lim} = $1 WHERE {a_id} = $2', '{acct}') USING %k, {T};"]),
    ("nondeterminism.temporary_table", [], ["CREATE TEMPORARY TABLE work_rows(x integer) ON COMMIT DROP;"]),
    ("nondeterminism.temporary_table_as", [], ["CREATE TEMP TABLE work_rows AS SELECT {a_id} FROM {acct} WHERE {a_owner} = {T} ORDER BY {a_id};"]),
    ("nondeterminism.cursor", ["!v_cur CURSOR FOR SELECT {a_id} FROM {acct} WHERE {a_owner} = '%m'", "v_id text"],
     ["!OPEN v_cur;", "!FETCH v_cur INTO v_id;", "CLOSE v_cur;"]),
    ("nondeterminism.cursor_open_for", ["v_cur refcursor", "v_id text"],
     ["!OPEN v_cur FOR SELECT {a_id} FROM {acct} WHERE {a_owner} = {T};", "!FETCH v_cur INTO v_id;", "CLOSE v_cur;"]),
    ("nondeterminism.limit", ["v_id text"], ["SELECT {a_id} INTO STRICT v_id FROM {acct} WHERE {a_owner} = {T} LIMIT 1;"]),
    ("nondeterminism.limit_ties", ["v_id text"], ["SELECT {a_id} INTO STRICT v_id FROM {acct} WHERE {a_owner} = {T} ORDER BY {a_bal} DESC LIMIT 1;"]),
    ("nondeterminism.limit_subquery", [], ["UPDATE {acct} SET {a_lim} = %k WHERE {a_id} = (SELECT b.{a_id} FROM {acct} b WHERE b.{a_owner} = {T} LIMIT 1);"]),
    ("nondeterminism.fetch_first", ["v_id text"], ["SELECT {s_memo} INTO STRICT v_id FROM {sale} WHERE {s_cust} = {T} FETCH FIRST ROW ONLY;"]),
    ("nondeterminism.offset", ["v_id bigint"], ["SELECT {s_id} INTO STRICT v_id FROM {sale} WHERE {s_cust} = {T} ORDER BY {s_price} OFFSET 2 LIMIT 1;"]),
    ("nondeterminism.array_agg", ["v_a text[]"], ["SELECT array_agg({a_id}) INTO STRICT v_a FROM {acct} WHERE {a_owner} = {T};"]),
    ("nondeterminism.string_agg", ["v_a text"], ["SELECT string_agg({a_id}, ',') INTO STRICT v_a FROM {acct} WHERE {a_owner} = {T};"]),
    ("nondeterminism.string_agg_ties", ["v_a text"], ["SELECT string_agg({a_id}, ',' ORDER BY {a_bal}) INTO STRICT v_a FROM {acct} WHERE {a_owner} = {T};"]),
    ("nondeterminism.jsonb_agg", ["v_a jsonb"], ["SELECT jsonb_agg({s_id}) INTO STRICT v_a FROM {sale} WHERE {s_cust} = {T};"]),
    ("nondeterminism.array_constructor", ["v_a text[]"], ["v_a := ARRAY(SELECT {a_id} FROM {acct} WHERE {a_owner} = {T});"]),
    ("nondeterminism.float_sum", ["v_f double precision"], ["SELECT sum({h_temp}::double precision) INTO STRICT v_f FROM {ship} WHERE {h_holder} = {T};"]),
    ("nondeterminism.float_avg", ["v_f double precision"], ["SELECT avg({h_temp}::real) INTO STRICT v_f FROM {ship} WHERE {h_holder} = {T};"]),
    ("nondeterminism.row_number", ["v_q bigint"], ["SELECT max(q.n) INTO STRICT v_q FROM (SELECT {a_id}, row_number() OVER () AS n FROM {acct} WHERE {a_owner} = {T}) q",
                                                   "  WHERE q.{a_id} = {T};"]),
    ("nondeterminism.loop", ["v_row record", "v_last text"], ["!FOR v_row IN SELECT {a_id} AS id FROM {acct} WHERE {a_owner} = {T} LOOP", "  v_last := v_row.id;", "END LOOP;"]),
    ("nondeterminism.loop_ties", ["v_row record", "v_last text"],
     ["!FOR v_row IN SELECT {a_id} AS id FROM {acct} WHERE {a_owner} = {T} ORDER BY {a_bal} LOOP", "  v_last := v_row.id;", "END LOOP;"]),
    ("nondeterminism.ctid", [], ["UPDATE {acct} SET {a_lim} = %k WHERE {a_owner} = {T} AND ctid = '(0,1)';"]),
    ("nondeterminism.xmin", ["v_x text"], ["SELECT xmin::text INTO STRICT v_x FROM {acct} WHERE {a_id} = {T};"]),
    ("nondeterminism.tableoid", ["v_x oid"], ["SELECT tableoid INTO STRICT v_x FROM {acct} WHERE {a_id} = {T};"]),
    ("nondeterminism.catalog", ["v_q bigint"], ["SELECT count(*) INTO STRICT v_q FROM pg_catalog.pg_class WHERE relname = {T};"]),
    ("nondeterminism.statistics", ["v_q bigint"], ["SELECT n_live_tup INTO STRICT v_q FROM pg_stat_user_tables WHERE relname = '{acct}';"]),
    ("nondeterminism.information_schema", ["v_q bigint"], ["SELECT count(*) INTO STRICT v_q FROM information_schema.tables WHERE table_name = {T};"]),
    ("nondeterminism.local_table", ["v_q numeric"], ["SELECT {y_val} INTO STRICT v_q FROM {loc} WHERE {y_id} = {T};"]),
    ("nondeterminism.set", [], ["SET enable_seqscan = off;"]),
    ("nondeterminism.set_local", [], ["SET LOCAL timezone = 'Europe/Berlin';"]),
    ("nondeterminism.set_config", [], ["PERFORM set_config('datestyle', 'German', true);"]),
    ("nondeterminism.commit", [], ["COMMIT;"]),
    ("nondeterminism.rollback", [], ["ROLLBACK;"]),
    ("nondeterminism.listen", [], ["LISTEN news;"]),
    ("nondeterminism.notify", [], ["NOTIFY news, 'x';"]),
    ("nondeterminism.pg_notify", [], ["PERFORM pg_notify('news', {T});"]),
    ("nondeterminism.copy", [], ["COPY {acct} TO '/tmp/accounts.csv';"]),
    ("nondeterminism.do", [], ["DO 'BEGIN NULL; END';"]),
    ("nondeterminism.advisory_lock", [], ["PERFORM pg_advisory_xact_lock(%k);"]),
    ("nondeterminism.try_advisory_lock", [], ["IF NOT pg_try_advisory_xact_lock(%k) THEN", "  RAISE EXCEPTION 'busy';", "END IF;"]),
    ("nondeterminism.skip_locked", ["v_b numeric"], ["SELECT {a_bal} INTO STRICT v_b FROM {acct} WHERE {a_id} = {T} FOR UPDATE SKIP LOCKED;"]),
    ("nondeterminism.nowait", ["v_b numeric"], ["SELECT {a_bal} INTO STRICT v_b FROM {acct} WHERE {a_id} = {T} FOR UPDATE NOWAIT;"]),
    ("nondeterminism.into_not_strict", ["v_b numeric"], ["SELECT {s_price} INTO v_b FROM {sale} WHERE {s_cust} = {T};"]),
    ("nondeterminism.into_not_strict_order", ["v_b numeric"], ["SELECT {s_price} INTO v_b FROM {sale} WHERE {s_cust} = {T} ORDER BY {s_at};"]),
    ("nondeterminism.distinct_on", ["v_row record"], ["!FOR v_row IN SELECT DISTINCT ON ({s_state}) {s_id}, {s_price} FROM {sale} WHERE {s_cust} = {T} ORDER BY {s_state} LOOP",
                                                      "  NULL;", "END LOOP;"]),
    ("nondeterminism.update_from", [], ["UPDATE {acct} a SET {a_lim} = s.{s_price} FROM {sale} s WHERE s.{s_cust} = a.{a_owner} AND a.{a_id} = {T};"]),
    ("nondeterminism.exception", [], ["BEGIN", "  INSERT INTO {log}({g_subj}, {g_tx}, {g_op}, {g_at}) VALUES ({T}, dadbs.transaction_id(), 'try', dadbs.block_time());",
                                      "!EXCEPTION WHEN unique_violation THEN", "  NULL;", "END;"]),
    ("nondeterminism.exception_others", ["v_q numeric"], ["BEGIN", "  SELECT {a_bal} INTO STRICT v_q FROM {acct} WHERE {a_id} = {T};", "!EXCEPTION WHEN OTHERS THEN",
                                                          "  v_q := 0;", "END;"]),
    ("nondeterminism.tablesample", ["v_q bigint"], ["SELECT count(*) INTO STRICT v_q FROM {acct} TABLESAMPLE BERNOULLI (10) WHERE {a_owner} = {T};"]),
    ("nondeterminism.sleep", [], ["PERFORM pg_sleep(0.1);"]),

    ("injection.concatenation", [], ["EXECUTE 'UPDATE {acct} SET {a_lim} = %k WHERE {a_id} = ''' || {T} || '''';"]),
    ("injection.format_s", [], ["EXECUTE format('DELETE FROM {acct} WHERE {a_id} = ''%s''', {T});"]),
    ("injection.table_name", [], ["EXECUTE 'DELETE FROM ' || {T};"]),
    ("injection.variable", ["v_sql text"], ["v_sql := 'UPDATE {acct} SET {a_lim} = 0 WHERE {a_owner} = ''' || {T} || '''';", "!EXECUTE v_sql;"]),
    ("injection.concat_function", [], ["EXECUTE concat('SELECT {a_bal} FROM {acct} WHERE {a_id} = ', {T});"]),
    ("injection.loop", ["v_row record"], ["!FOR v_row IN EXECUTE 'SELECT * FROM {acct} WHERE {a_owner} = ''' || {T} || '''' LOOP", "  NULL;", "END LOOP;"]),
    ("injection.cursor", ["v_cur refcursor"], ["!OPEN v_cur FOR EXECUTE 'SELECT * FROM ' || {T};", "CLOSE v_cur;"]),
    ("injection.into", ["v_b numeric"], ["EXECUTE 'SELECT {a_bal} FROM {acct} WHERE ' || {T} INTO STRICT v_b;"]),
    ("injection.query_to_xml", ["v_x xml"], ["v_x := query_to_xml('SELECT * FROM {acct} WHERE {a_owner} = ''' || {T} || '''', true, false, '');"]),
    ("injection.replace", ["v_sql text"], ["v_sql := replace('DELETE FROM {acct} WHERE {a_id} = ''@''', '@', {T});", "!EXECUTE v_sql;"]),

    ("unbounded.loop", ["v_i integer := 0"], ["!LOOP", "!  v_i := (v_i + 1) % 100;", "END LOOP;"]),
    ("unbounded.while_true", ["v_i integer := 0"], ["!WHILE true LOOP", "  v_i := 1;", "END LOOP;"]),
    ("unbounded.no_progress", ["v_i integer := 0"], ["!WHILE v_i < %k LOOP", "  PERFORM 1;", "END LOOP;"]),
    ("unbounded.wrong_direction", ["v_d numeric := 1"], ["!WHILE v_d > 0 LOOP", "  v_d := v_d + 1;", "END LOOP;"]),
    ("unbounded.count_from_input", ["v_i integer", "v_t numeric := 0"], ["!FOR v_i IN 1 .. {N} LOOP", "  v_t := v_t + 1;", "END LOOP;"]),
    ("unbounded.while_input", ["v_d numeric := 0"], ["!WHILE v_d < {D} LOOP", "  v_d := v_d + 0.01;", "END LOOP;"]),
    ("unbounded.exit_never", ["v_i integer := 0"], ["!LOOP", "  v_i := 1;", "  EXIT WHEN v_i > %k;", "END LOOP;"]),
    ("unbounded.scan_update", [], ["UPDATE {acct} SET {a_lim} = %k;"]),
    ("unbounded.scan_delete", [], ["DELETE FROM {sale};"]),
    ("unbounded.scan_loop", ["v_row record", "v_last text"], ["!FOR v_row IN SELECT {a_id} AS id FROM {acct} ORDER BY {a_id} LOOP", "  v_last := v_row.id;", "END LOOP;"]),
    ("unbounded.scan_aggregate", ["v_t numeric"], ["SELECT sum({s_price}) INTO STRICT v_t FROM {sale};"]),
    ("unbounded.cross_join", ["v_q bigint"], ["SELECT count(*) INTO STRICT v_q FROM {sale} a, {acct} b;"]),
    ("unbounded.scan_no_index", ["v_q bigint"], ["SELECT count(*) INTO STRICT v_q FROM {sale} WHERE {s_memo} LIKE '%' || {T} || '%';"]),
    ("unbounded.generate_series", ["v_q bigint"], ["SELECT sum(g) INTO STRICT v_q FROM generate_series(1, {N}) g;"]),
    ("unbounded.recursive", ["v_q bigint"], ["WITH RECURSIVE r(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM r)", "SELECT max(n) INTO STRICT v_q FROM r;"]),

    ("float_money.variable", ["!v_fee double precision"], ["!v_fee := {M} * 0.05;"]),
    ("float_money.real_variable", ["!v_price real"], ["!v_price := {M};"]),
    ("float_money.cast", ["v_amount numeric"], ["v_amount := round(({M}::double precision * 1.19)::numeric, 2);"]),
    ("float_money.cast_function", ["v_tax numeric"], ["v_tax := CAST({M} AS float) * 0.19;"]),
    ("float_money.in_statement", [], ["UPDATE {acct} SET {a_bal} = {a_bal} * %f::float8 WHERE {a_id} = {T};"]),
    ("float_money.compare", [], ["IF {M}::real = %f THEN", "  RAISE EXCEPTION 'this amount is not taken';", "END IF;"]),
    ("float_money.power", ["v_balance numeric"], ["v_balance := {M}::float8 * power(%f::float8, 12);"]),
    ("float_money.aggregate_into", ["!v_total double precision"], ["!SELECT sum({a_bal}) INTO STRICT v_total FROM {acct} WHERE {a_owner} = {T};"]),
    ("float_money.declared_default", ["!v_balance float8 := {M}"], []),
]
# Re-entrancy: what a trigger on the table of the key writes, and by that fires itself. {K} is the row's key.
REENTRANT = {
    "acct": [("reentrancy.own_update", "UPDATE {acct} SET {a_at} = dadbs.block_time() WHERE {a_id} = {R}.{a_id};"),
             ("reentrancy.own_insert", "INSERT INTO {acct}({a_id}, {a_owner}, {a_bal}, {a_lim}) VALUES ({R}.{a_id} || '-fee', {R}.{a_owner}, 1, 0);"),
             ("reentrancy.ring", "INSERT INTO {led}({r_id}, {r_acct}, {r_amt}) VALUES (%k, {R}.{a_id}, 1);")],
    "sale": [("reentrancy.own_update", "UPDATE {sale} SET {s_memo} = 'seen' WHERE {s_id} = {R}.{s_id};"),
             ("reentrancy.own_insert", "INSERT INTO {sale}({s_id}, {s_cust}, {s_qty}, {s_price}, {s_state}) VALUES (1 - {R}.{s_id} % 1000, {R}.{s_cust}, 1, 0, 'copy');"),
             ("reentrancy.own_siblings", "UPDATE {sale} SET {s_state} = 'stale' WHERE {s_cust} = {R}.{s_cust} AND {s_id} <> {R}.{s_id};")],
    "esc": [("reentrancy.own_update", "UPDATE {esc} SET {e_memo} = 'touched' WHERE {e_id} = {R}.{e_id};")],
    "ship": [("reentrancy.own_update", "UPDATE {ship} SET {h_at} = dadbs.block_time() WHERE {h_id} = {R}.{h_id};")],
    "doc": [("reentrancy.own_insert", "INSERT INTO {doc}({d_id}, {d_kind}, {d_keep}, {d_end}) VALUES (0 - {R}.{d_id} % 1000, {R}.{d_kind}, {R}.{d_keep}, {R}.{d_end});"),
            ("reentrancy.own_delete", "DELETE FROM {doc} WHERE {d_kind} = {R}.{d_kind} AND {d_id} <> {R}.{d_id};")],
    "item": [("reentrancy.own_update", "UPDATE {item} SET {i_memo} = 'low' WHERE {i_sku} = {R}.{i_sku};"),
             ("reentrancy.own_upsert", "INSERT INTO {item}({i_sku}, {i_stock}, {i_price}, {i_kind}) VALUES ({R}.{i_sku}, 0, 0, 'x') ON CONFLICT ({i_sku}) DO UPDATE SET {i_memo} = 'again';")],
    "vote": [("reentrancy.own_update", "UPDATE {vote} SET {v_memo} = 'counted' WHERE {v_ballot} = {R}.{v_ballot} AND {v_voter} = {R}.{v_voter};")],
    "tok": [("reentrancy.own_update", "UPDATE {tok} SET {t_memo} = 'seen' WHERE {t_holder} = {R}.{t_holder};")],
    "line": [("reentrancy.own_update", "UPDATE {line} SET {l_memo} = 'seen' WHERE {l_sale} = {R}.{l_sale} AND {l_no} = {R}.{l_no};")],
}
# What stands instead of a check of the origin. {P} is an argument that says who calls: anybody can say so.
WEAK = [("missing_authorisation.removed", []),
        ("missing_authorisation.argument", ["IF {P} <> '%m' THEN", "  RAISE EXCEPTION 'only %m may';", "END IF;"]),
        ("missing_authorisation.notice", ["IF dadbs.origin_node() <> '%m' THEN", "  RAISE NOTICE 'only %m should';", "END IF;"]),
        ("missing_authorisation.no_action", ["IF dadbs.origin_node() <> '%m' THEN", "  NULL;", "END IF;"]),
        ("missing_authorisation.null_test", ["IF dadbs.origin_node() IS NULL THEN", "  RAISE EXCEPTION 'who are you?';", "END IF;"]),
        ("missing_authorisation.not_used", ["PERFORM dadbs.origin_node();"])]
WEIGHTS = [("unauthorised", 90), ("overflow", 100), ("division", 100), ("reentrancy", 80), ("nondeterminism", 330), ("injection", 80),
           ("unbounded", 90), ("float_money", 70), ("missing_authorisation", 60)]

# Statements without a fault, to vary what surrounds it. The same notation.
HARMLESS = [([], ["-- agreed in the meeting of %k"]), ([], ["NULL;"]),
            ([], ["IF {T} = '%m' THEN", "  RAISE EXCEPTION 'not for %m';", "END IF;"]),
            ([], ["IF length({T}) > %k THEN", "  RAISE EXCEPTION 'too long: %', {T} USING ERRCODE = 'check_violation';", "END IF;"]),
            (["v_word text := '%m'"], ["v_word := upper(v_word) || '-%j';"]),
            (["v_limit numeric := %k"], ["v_limit := round(v_limit * %f, 2);"]),
            (["v_net numeric"], ["v_net := {imm}(%k);"]),
            (["v_day date"], ["v_day := dadbs.block_time()::date;"]),
            ([], ["IF dadbs.block_height() < %j THEN", "  RAISE EXCEPTION 'not open yet';", "END IF;"]),
            (["v_step integer", "v_acc integer := 0"], ["FOR v_step IN 1 .. %j LOOP", "  v_acc := v_acc + v_step;", "END LOOP;"]),
            (["v_code text"], ["v_code := CASE WHEN {T} LIKE 'A%' THEN 'a' WHEN {T} LIKE 'B%' THEN 'b' ELSE 'other' END;"]),
            ([], ["IF {T} IS NULL OR {T} = '' THEN", "  RAISE EXCEPTION USING ERRCODE = 'not_null_violation', MESSAGE = 'empty';", "END IF;"])]


class Maker:
    """One contract from a template: chooses, puts the fault in, and renders with line numbers."""

    def __init__(self, dice, template, world):
        self.dice, self.template, self.world = dice, template, world
        self.contract = Contract(template, world, None)
        self.row = template.get("row", "NEW")
        self.extra = []          # arguments that the fault needs
        self.declarations = []   # (text, whether the fault is there)
        self.constants = {"%k": str(dice.pick([7, 12, 24, 30, 50, 90, 120, 365, 500])), "%j": str(2 + dice.below(7)), "%m": dice.pick(MEMBERS), "%f": dice.pick(FACTORS)}

    def outside(self, kind):
        """What comes from outside: a column of the row, or an argument made for it."""
        if self.contract.returns == "trigger":
            key = self.template["table"]
            prefix = TABLES[key][1][0][0][0]
            column = {"T": TEXTS[key], "N": prefix + "_n", "D": prefix + "_rate", "M": {"acct": "a_bal", "sale": "s_price", "line": "l_price", "item": "i_price",
                      "esc": "e_amt"}.get(key)}[kind]
            if column:
                return f"{self.row}.{self.world.names[column]}"
            return None
        name, sort = {"T": ("p_ref", "text"), "N": ("p_times", "integer"), "D": ("p_parts", "numeric"), "M": ("p_amount_due", "numeric"), "P": ("p_caller", "text")}[kind]
        argument = f"{name} {sort}"
        if argument not in self.extra:
            self.extra.append(argument)
        return name

    def fill(self, text):
        text = re.sub(r"\{([TNDMP])\}", lambda m: self.outside(m.group(1)), text)
        text = text.replace("{R}", self.row)
        for key, value in self.constants.items():
            text = text.replace(key, value)
        return self.world.put(text)

    def block(self, declarations, statements, indent, faulty):
        """Lines as (text, whether the fault is there)."""
        marked = faulty and any(s.startswith("!") for s in statements + declarations)
        for name in re.findall(r"\bv_\w+", " ".join(d.split()[0] for d in declarations)):
            other = name
            while re.search(rf"\b{other}\b", self.template["text"] + " ".join(text for text, _ in self.declarations)):
                other += "_x"
            declarations = [re.sub(rf"\b{name}\b", other, d) for d in declarations]
            statements = [re.sub(rf"\b{name}\b", other, s) for s in statements]
        for d in declarations:
            self.declarations.append((self.fill(d.lstrip("!")), d.startswith("!")))
        out = [(self.fill(s.lstrip("!")), s.startswith("!") if marked else faulty) for s in statements]
        if out and self.dice.chance(0.3):
            out = self.wrap(out)
        return [(indent + text, bad) for text, bad in out]

    def wrap(self, lines):
        kind = self.dice.below(4)
        inner = [("  " + text, bad) for text, bad in lines]
        if kind == 0:
            return [("BEGIN", False)] + inner + [("END;", False)]
        if kind == 1:
            return [(f"IF {self.outside('T')} <> 'none' THEN", False)] + inner + [("END IF;", False)]
        if kind == 2:
            return [(f"IF {self.outside('T')} = 'none' THEN", False), ("  NULL;", False), ("ELSE", False)] + inner + [("END IF;", False)]
        return [(f"CASE {self.outside('T')}", False), ("  WHEN 'none' THEN", False), ("    NULL;", False), ("  ELSE", False)] + [("  " + t, b) for t, b in inner] + [("END CASE;", False)]

    def make(self, plan):
        """plan: None, ('insert', entry), ('reentrant', (form, statement)), ('weak', entry), ('alt', line number, which), ('guard', form, id)."""
        lines = self.template["text"].strip("\n").split("\n")
        lines = [x for line in lines for x in self.authorisation(line)]
        spots = [i for i, line in enumerate(lines) if line.strip() in ("--@here", "--@here:once")]
        if plan and plan[0] == "reentrant":    # what is written before a RAISE is never there to fire anything
            spots = [i for i in spots if not lines[i + 1].strip().startswith("RAISE EXCEPTION") and not lines[i].strip().endswith(":once")]
        chosen = self.dice.pick(spots) if spots and plan and plan[0] in ("insert", "reentrant") else None
        out, weak_done = [], False
        for i, line in enumerate(lines):
            indent = line[:len(line) - len(line.lstrip())]
            text, _, mark = line.partition("--@")
            text = text.rstrip()
            if mark.startswith("here"):
                if i == chosen:
                    entry = plan[1]
                    out += self.block(entry[1], entry[2], indent, True)
                elif self.dice.chance(0.25) and (not plan or len(out) < 40):
                    declarations, statements = self.dice.pick(HARMLESS)
                    out += self.block(declarations, statements, indent, False)
                continue
            if mark.startswith("auth") and plan and plan[0] == "weak":
                if not weak_done:
                    out += [(indent + self.fill(s), True) for s in plan[1][1]]
                weak_done = True
                continue
            bad = False
            if mark.startswith("alt:"):
                hit = plan and plan[0] == "alt" and plan[1] == i
                bad = bool(hit)
                text = re.sub(r"\[\[(.*?)\]\]", lambda m: m.group(1).split("~")[plan[2] if hit else 0], text)
                text = re.sub(r"(?<=\S)  +", " ", text)
                if hit and not text.strip():
                    continue
            elif mark.startswith("guard:"):
                if plan and plan[0] == "guard" and mark.split(":")[2] == plan[2]:
                    continue
            elif mark.startswith("use:") and plan and plan[0] == "guard":
                bad = mark.split(":")[1] == plan[2]
            if plan and plan[0] == "weak" and re.match(r"\s*(INSERT|UPDATE|DELETE|MERGE)\b", text):
                bad = True
            out.append((self.fill(text), bad))
        return self.render(out, plan)

    def authorisation(self, line):
        if line.strip() != "{AUTH}":
            return [line]
        indent = line[:len(line) - len(line.lstrip())]
        forms = [a for a in AUTHORISATION if "{who}" not in " ".join(a) or "who" in self.template]
        return [indent + x.replace("{who}", self.template.get("who", "")) + " --@auth" for x in self.dice.pick(forms)]

    def render(self, out, plan):
        contract = self.contract
        if self.extra:
            contract.arguments = ", ".join(([contract.arguments] if contract.arguments else []) + self.extra)
        if self.declarations:
            inserted = [("  " + text + ";", bad) for text, bad in self.declarations]
            if out[0][0] == "DECLARE":
                out = out[:1] + inserted + out[1:]
            else:
                out = [("DECLARE", False)] + inserted + out
        lines, at = [], []
        for text, bad in out:
            for part in text.split("\n"):
                lines.append(part)
                if bad:
                    at.append(len(lines))
        if plan and plan[0] == "weak":
            at += [n for n, t in enumerate(lines, 1) if t == "BEGIN"][:1]
        if contract.language == "sql" and plan:
            at = list(range(1, len(lines) + 1))    # one statement: a finding may stand where it begins
        declared = [re.match(r"\s*(v_\w+) (real|float8|double precision)\b", lines[n - 1]) for n in at]
        for variable in {m.group(1) for m in declared if m}:
            at += [n for n, line in enumerate(lines, 1) if re.search(rf"\b{variable}\b", line)]    # where money gets into it
        contract.body = "\n".join(lines) + "\n"
        contract.at = sorted(set(at))
        contract.arguments = self.world.put(contract.arguments)
        return contract


def marks(template, kind):
    """Places in a template for faults: ('alt', line, which) or ('guard', form, id), by form. Lines are counted with one line of authorisation."""
    found = []
    for i, line in enumerate(template["text"].strip("\n").split("\n")):
        _, _, mark = line.partition("--@")
        if kind == "alt" and mark.startswith("alt:"):
            for which in range(1, len(re.search(r"\[\[(.*?)\]\]", line).group(1).split("~"))):
                found.append((mark[4:].strip(), i, which))
        elif kind == "guard" and mark.startswith("guard:"):
            _, form, name = mark.strip().split(":")
            if (form, i, name) not in found and not any(f[2] == name for f in found):
                found.append((form, i, name))
    return found


def fits(entry, template, trigger):
    """Whether it would be the only fault: a trigger that writes its own table fires itself, a call that writes has to check who calls."""
    text = " ".join(entry[1] + entry[2])
    written = re.findall(r"(?:UPDATE|DELETE FROM|INSERT INTO) \{(\w+)\}", text)
    if trigger:
        return template["table"] not in written and ("{M}" not in text or template["table"] in ("acct", "sale", "line", "item", "esc"))
    return not written or "{AUTH}" in template["text"]


def plans():
    """Every way to make a fault: class -> form -> list of (template, plan)."""
    ways = {}

    def add(form, template, plan):
        ways.setdefault(form.split(".")[0], {}).setdefault(form, []).append((template, plan))

    for template in TEMPLATES:
        plpgsql = template.get("language", "plpgsql") == "plpgsql"
        trigger = not template.get("arguments")
        if plpgsql and "--@here" in template["text"]:
            for entry in INSERTED:
                if fits(entry, template, trigger):
                    add(entry[0], template, ("insert", entry))
            if trigger:
                deletes = template.get("row") == "OLD"
                for form, statement in REENTRANT.get(template["table"], []):
                    # A trigger of DELETE is fired again by deleting only, one of INSERT and UPDATE by anything else.
                    if deletes == (form == "reentrancy.own_delete") and form not in template.get("ends", []):
                        add(form, template, ("reentrant", (form, [], [statement])))
        if "{AUTH}" in template["text"]:
            for entry in WEAK:
                add(entry[0], template, ("weak", entry))
        for form, i, which in marks(template, "alt"):
            add(form, template, ("alt", i, which))
        for form, i, name in marks(template, "guard"):
            add(form, template, ("guard", form, name))
    return ways


def generate(seed=1, faulty=1000, sound=500):
    """-> (worlds, contracts): the faulty ones first. The sound ones have fault None."""
    dice = Dice(seed)
    worlds = [World(n, dice) for n in range(1, WORLDS + 1)]
    contracts = []
    ways = plans()
    total = sum(w for _, w in WEIGHTS)
    made = 0
    for position, (kind, weight) in enumerate(WEIGHTS):
        want = faulty - made if position == len(WEIGHTS) - 1 else round(faulty * weight / total)
        made += want
        forms = dice.shuffled(sorted(ways[kind]))
        for n in range(want):
            form = forms[n % len(forms)]
            template, plan = dice.pick(ways[kind][form])
            maker = Maker(Dice(f"{seed}/{kind}/{n}"), template, dice.pick(worlds))
            contract = maker.make(relocate(plan, template, maker))
            contract.fault = form
            contract.name = f"{template['name']}_{kind}_{n}"
            contracts.append(contract)
    for n in range(sound):
        template = TEMPLATES[n % len(TEMPLATES)]
        contract = Maker(Dice(f"{seed}/sound/{n}"), template, dice.pick(worlds)).make(None)
        contract.name = f"{template['name']}_sound_{n}"
        contracts.append(contract)
    return worlds, contracts


def relocate(plan, template, maker):
    """An alternative is known by its line in the template; a check of the origin before it takes several lines when it is written out."""
    if plan[0] != "alt":
        return plan
    before = template["text"].strip("\n").split("\n")[:plan[1]]
    if not any(line.strip() == "{AUTH}" for line in before):
        return plan
    # The choice of the check must be the one that make() will draw: fix it now.
    fixed = [x for line in template["text"].strip("\n").split("\n") for x in maker.authorisation(line)]
    marked = template["text"].strip("\n").split("\n")[plan[1]]
    maker.template = dict(template, text="\n".join(fixed))
    return ("alt", fixed.index(marked), plan[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faulty", type=int, default=1000)
    parser.add_argument("--sound", type=int, default=500)
    parser.add_argument("--forms", action="store_true", help="names the forms of faults")
    options = parser.parse_args()
    if options.forms:
        for forms in plans().values():
            print("\n".join(sorted(forms)))
        return
    for contract in generate(options.seed, options.faulty, options.sound)[1]:
        print(f"-- {contract.name}: {contract.fault or 'sound'} at {contract.at}; {contract.language} ({contract.arguments}) returns {contract.returns}"
              f" on {contract.table}\n{contract.body}")


if __name__ == "__main__":
    main()
