-- Supply chain: goods go from hand to hand. The holder offers, the next one accepts; every step is on record.
BEGIN;
CREATE TABLE shipment (id bigint PRIMARY KEY, goods text NOT NULL, holder text NOT NULL, offered_to text,
                       CHECK (offered_to <> holder));
CREATE TABLE custody (shipment bigint, step integer, holder text NOT NULL, since timestamptz NOT NULL, PRIMARY KEY (shipment, step));

SELECT dadbs.deploy_contract('hand_over', $$
DECLARE
  v_steps integer;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'shipments are not deleted' USING ERRCODE = 'restrict_violation';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.holder <> dadbs.origin_node() OR NEW.offered_to IS NOT NULL THEN
      RAISE EXCEPTION 'a shipment begins in the hands of who makes it' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO custody VALUES (NEW.id, 1, NEW.holder, dadbs.block_time());
    RETURN NULL;
  END IF;
  IF (NEW.id, NEW.goods) <> (OLD.id, OLD.goods) THEN
    RAISE EXCEPTION 'the goods stay what they are' USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.holder = OLD.holder THEN
    IF dadbs.origin_node() <> OLD.holder THEN
      RAISE EXCEPTION 'only % offers shipment %', OLD.holder, OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
  ELSE
    IF OLD.offered_to IS NULL OR NEW.holder <> OLD.offered_to OR dadbs.origin_node() <> OLD.offered_to OR NEW.offered_to IS NOT NULL THEN
      RAISE EXCEPTION 'shipment % is not offered to %', OLD.id, dadbs.origin_node() USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT count(*) INTO STRICT v_steps FROM custody WHERE shipment = OLD.id;
    INSERT INTO custody VALUES (OLD.id, v_steps + 1, NEW.holder, dadbs.block_time());
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER hand_over AFTER INSERT OR UPDATE OR DELETE ON shipment FOR EACH ROW EXECUTE FUNCTION dadbs.contract('hand_over');
-- The record is written by the contract and by nobody else, whatever a member sends.
SELECT dadbs.protect_table('custody', contracts => '{hand_over}');
COMMIT;
