-- Escrow of three parties, known by their keys: two of them release the money to the seller, or it goes back when the time has come.
CREATE ROLE escrow_client LOGIN;

-- One transaction: once the tables are protected, their definition takes the approval of other members.
BEGIN;
CREATE TABLE escrow_account (key bytea PRIMARY KEY CHECK (length(key) = 32), balance numeric(20, 2) NOT NULL CHECK (balance >= 0));
CREATE TABLE escrow (id bigint PRIMARY KEY, buyer bytea NOT NULL REFERENCES escrow_account, seller bytea NOT NULL CHECK (length(seller) = 32),
                     arbiter bytea NOT NULL CHECK (length(arbiter) = 32), amount numeric(20, 2) NOT NULL CHECK (amount > 0),
                     refund_at timestamptz NOT NULL, state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'released', 'refunded')),
                     CHECK (buyer <> seller AND buyer <> arbiter AND seller <> arbiter));
CREATE TABLE escrow_release_signature (escrow bigint REFERENCES escrow, key bytea, signed_at timestamptz NOT NULL, PRIMARY KEY (escrow, key));

-- The bank, member m1, says what it has received for a key. (What it pays out would be a contract like this one.)
SELECT dadbs.deploy_contract('escrow_deposit', $$
BEGIN
  IF dadbs.origin_node() <> 'm1' THEN
    RAISE EXCEPTION 'deposits come from m1' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_amount <= 0 THEN
    RAISE EXCEPTION 'a deposit of %', p_amount USING ERRCODE = 'check_violation';
  END IF;
  INSERT INTO escrow_account VALUES (p_key, p_amount) ON CONFLICT (key) DO UPDATE SET balance = escrow_account.balance + excluded.balance;
END $$, arguments => 'p_key bytea, p_amount numeric');

-- Signed by the buyer: his money is put aside.
SELECT dadbs.deploy_contract('escrow_open', $$
DECLARE
  v_left numeric;
BEGIN
  IF dadbs.caller_key() IS NULL THEN
    RAISE EXCEPTION 'an escrow is opened by the buyer''s signature' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_amount <= 0 OR p_refund_at <= dadbs.block_time() THEN
    RAISE EXCEPTION 'an escrow holds money for some time' USING ERRCODE = 'check_violation';
  END IF;
  UPDATE escrow_account SET balance = balance - p_amount WHERE key = dadbs.caller_key() AND balance >= p_amount RETURNING balance INTO v_left;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the buyer has not enough' USING ERRCODE = 'check_violation';
  END IF;
  INSERT INTO escrow VALUES (p_id, dadbs.caller_key(), p_seller, p_arbiter, p_amount, p_refund_at);
  RETURN v_left;
END $$, arguments => 'p_id bigint, p_seller bytea, p_arbiter bytea, p_amount numeric, p_refund_at timestamptz', returns => 'numeric');

-- Signed by two of the three: the seller is paid with the second signature.
SELECT dadbs.deploy_contract('escrow_release', $$
DECLARE
  v_escrow escrow%ROWTYPE;
  v_signatures bigint;
BEGIN
  SELECT * INTO v_escrow FROM escrow WHERE id = p_id;
  IF NOT FOUND OR v_escrow.state <> 'held' THEN
    RAISE EXCEPTION 'escrow % holds nothing', p_id USING ERRCODE = 'restrict_violation';
  END IF;
  IF dadbs.caller_key() IS NULL OR dadbs.caller_key() NOT IN (v_escrow.buyer, v_escrow.seller, v_escrow.arbiter) THEN
    RAISE EXCEPTION 'escrow % is released by its parties', p_id USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO escrow_release_signature VALUES (p_id, dadbs.caller_key(), dadbs.block_time()) ON CONFLICT DO NOTHING;
  SELECT count(*) INTO STRICT v_signatures FROM escrow_release_signature WHERE escrow = p_id;
  IF v_signatures < 2 THEN
    RETURN 'signed';
  END IF;
  UPDATE escrow SET state = 'released' WHERE id = p_id;
  INSERT INTO escrow_account VALUES (v_escrow.seller, v_escrow.amount)
    ON CONFLICT (key) DO UPDATE SET balance = escrow_account.balance + excluded.balance;
  RETURN 'released';
END $$, arguments => 'p_id bigint', returns => 'text');

-- Signed by the buyer, when the time has come: back to him.
SELECT dadbs.deploy_contract('escrow_refund', $$
DECLARE
  v_escrow escrow%ROWTYPE;
BEGIN
  SELECT * INTO v_escrow FROM escrow WHERE id = p_id;
  IF NOT FOUND OR v_escrow.state <> 'held' THEN
    RAISE EXCEPTION 'escrow % holds nothing', p_id USING ERRCODE = 'restrict_violation';
  END IF;
  IF dadbs.caller_key() IS DISTINCT FROM v_escrow.buyer THEN
    RAISE EXCEPTION 'escrow % goes back to its buyer', p_id USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF dadbs.block_time() < v_escrow.refund_at THEN
    RAISE EXCEPTION 'escrow % is held until %', p_id, v_escrow.refund_at USING ERRCODE = 'check_violation';
  END IF;
  UPDATE escrow SET state = 'refunded' WHERE id = p_id;
  UPDATE escrow_account SET balance = balance + v_escrow.amount WHERE key = v_escrow.buyer;
END $$, arguments => 'p_id bigint');

-- What is held and owed changes by these contracts only, whatever a member sends.
SELECT dadbs.protect_table('escrow_account', contracts => '{escrow_deposit, escrow_open, escrow_release, escrow_refund}');
SELECT dadbs.protect_table('escrow', contracts => '{escrow_open, escrow_release, escrow_refund}');
SELECT dadbs.protect_table('escrow_release_signature', contracts => '{escrow_release}');

-- Whose session hands a call in does not matter: the signature does.
GRANT EXECUTE ON PROCEDURE contracts.escrow_open, contracts.escrow_release, contracts.escrow_refund TO escrow_client;
GRANT SELECT ON escrow_account, escrow, escrow_release_signature TO escrow_client;
COMMIT;
