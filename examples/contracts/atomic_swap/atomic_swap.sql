-- Atomic swap: two members exchange what stands in two tables, with a hash lock and a time lock.
CREATE TABLE gold (id bigint PRIMARY KEY, owner text NOT NULL, grams numeric NOT NULL CHECK (grams > 0), locked_by bigint);
CREATE TABLE cash (id bigint PRIMARY KEY, owner text NOT NULL, amount numeric(14, 2) NOT NULL CHECK (amount > 0), locked_by bigint);
INSERT INTO gold VALUES (1, 'm1', 50);
INSERT INTO cash VALUES (1, 'm2', 3000.00);

BEGIN;
CREATE TABLE swap (id bigint PRIMARY KEY, asset text NOT NULL CHECK (asset IN ('gold', 'cash')), item bigint NOT NULL,
                   giver text NOT NULL, taker text NOT NULL, lock_hash bytea NOT NULL CHECK (length(lock_hash) = 32),
                   expires timestamptz NOT NULL, state text NOT NULL DEFAULT 'locked' CHECK (state IN ('locked', 'taken', 'returned')),
                   secret bytea);

SELECT dadbs.deploy_contract('swap_steps', $$
DECLARE
  v_owner text;
  v_locked_by bigint;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'swaps are not deleted' USING ERRCODE = 'restrict_violation';
  END IF;
  IF TG_OP = 'INSERT' THEN
    -- The giver locks what is his. Whoever knows the secret may take it, until it expires.
    IF NEW.giver <> dadbs.origin_node() OR NEW.state <> 'locked' OR NEW.secret IS NOT NULL OR NEW.expires <= dadbs.block_time() THEN
      RAISE EXCEPTION 'a swap begins with a lock of the giver' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.asset = 'gold' THEN
      SELECT owner, locked_by INTO STRICT v_owner, v_locked_by FROM gold WHERE id = NEW.item;
    ELSE
      SELECT owner, locked_by INTO STRICT v_owner, v_locked_by FROM cash WHERE id = NEW.item;
    END IF;
    IF v_owner <> NEW.giver OR v_locked_by IS NOT NULL THEN
      RAISE EXCEPTION '% % is not free to be given by %', NEW.asset, NEW.item, NEW.giver USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.asset = 'gold' THEN
      UPDATE gold SET locked_by = NEW.id WHERE id = NEW.item;
    ELSE
      UPDATE cash SET locked_by = NEW.id WHERE id = NEW.item;
    END IF;
    RETURN NULL;
  END IF;

  IF OLD.state <> 'locked' OR (NEW.id, NEW.asset, NEW.item, NEW.giver, NEW.taker, NEW.lock_hash, NEW.expires) <>
                              (OLD.id, OLD.asset, OLD.item, OLD.giver, OLD.taker, OLD.lock_hash, OLD.expires) THEN
    RAISE EXCEPTION 'swap % stands as it is', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state = 'taken' THEN
    IF dadbs.origin_node() <> OLD.taker THEN
      RAISE EXCEPTION 'swap % is for %', OLD.id, OLD.taker USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF dadbs.block_time() >= OLD.expires THEN
      RAISE EXCEPTION 'swap % has expired', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.secret IS NULL OR sha256(NEW.secret) <> OLD.lock_hash THEN
      RAISE EXCEPTION 'that is not the secret of swap %', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.asset = 'gold' THEN
      UPDATE gold SET owner = OLD.taker, locked_by = NULL WHERE id = OLD.item;
    ELSE
      UPDATE cash SET owner = OLD.taker, locked_by = NULL WHERE id = OLD.item;
    END IF;
  ELSIF NEW.state = 'returned' THEN
    IF dadbs.origin_node() <> OLD.giver OR dadbs.block_time() < OLD.expires THEN
      RAISE EXCEPTION 'swap % is not to be returned yet', OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.asset = 'gold' THEN
      UPDATE gold SET locked_by = NULL WHERE id = OLD.item;
    ELSE
      UPDATE cash SET locked_by = NULL WHERE id = OLD.item;
    END IF;
  ELSE
    RAISE EXCEPTION 'a swap is taken or returned' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER swap_steps AFTER INSERT OR UPDATE OR DELETE ON swap FOR EACH ROW EXECUTE FUNCTION dadbs.contract('swap_steps');
-- What is exchanged moves by the contract only.
SELECT dadbs.protect_table('gold', contracts => '{swap_steps}');
SELECT dadbs.protect_table('cash', contracts => '{swap_steps}');
COMMIT;
