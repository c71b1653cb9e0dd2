-- A token: balances that cannot go below zero, moved by orders that every member carries out.
CREATE ROLE token_client LOGIN;

-- One transaction: once a contract is attached, the definition of its table takes the approval of other members.
BEGIN;
CREATE TABLE token_account (owner text PRIMARY KEY, balance numeric(20, 2) NOT NULL);
CREATE TABLE token_order (id uuid PRIMARY KEY, payer text NOT NULL, payee text NOT NULL, amount numeric(20, 2) NOT NULL);

SELECT dadbs.deploy_contract('token_transfer', $$
DECLARE
  left_over numeric;
BEGIN
  IF NEW.amount <= 0 OR NEW.payer = NEW.payee THEN
    RAISE EXCEPTION 'not a transfer' USING ERRCODE = 'check_violation';
  END IF;
  UPDATE token_account SET balance = balance - NEW.amount WHERE owner = NEW.payer RETURNING balance INTO STRICT left_over;
  IF left_over < 0 THEN
    RAISE EXCEPTION '% has too little', NEW.payer USING ERRCODE = 'check_violation', DETAIL = format('It would have %s.', left_over);
  END IF;
  UPDATE token_account SET balance = balance + NEW.amount WHERE owner = NEW.payee;
  IF NOT FOUND THEN
    INSERT INTO token_account VALUES (NEW.payee, NEW.amount);
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER token_transfer AFTER INSERT ON token_order FOR EACH ROW EXECUTE FUNCTION dadbs.contract('token_transfer');

-- Orders stand: nobody takes one back or changes it.
SELECT dadbs.deploy_contract('token_order_stands', $$
BEGIN
  RAISE EXCEPTION 'an order stands' USING ERRCODE = 'restrict_violation';
END $$);
CREATE TRIGGER token_order_stands AFTER UPDATE OR DELETE ON token_order FOR EACH ROW EXECUTE FUNCTION dadbs.contract('token_order_stands');

-- Clients order; they do not write balances.
GRANT INSERT ON token_order TO token_client;
GRANT SELECT ON token_order, token_account TO token_client;
COMMIT;
