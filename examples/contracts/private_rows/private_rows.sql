-- Who may read which rows: policies of row-level security, which are shared like the tables they stand on.
CREATE ROLE acme LOGIN;
CREATE ROLE globex LOGIN;
CREATE ROLE auditor LOGIN;

-- One transaction: once a contract is attached, policies of its table take the approval of other members.
BEGIN;
CREATE TABLE deal (id bigint PRIMARY KEY, seller text NOT NULL, buyer text NOT NULL, price numeric(14, 2) NOT NULL,
                   shown_to text[] NOT NULL DEFAULT '{}');
ALTER TABLE deal ENABLE ROW LEVEL SECURITY;
CREATE POLICY parties ON deal FOR SELECT USING (current_user IN (seller, buyer));
CREATE POLICY shown ON deal FOR SELECT USING (current_user = ANY (shown_to));
CREATE POLICY audit ON deal FOR SELECT TO auditor USING (true);
CREATE POLICY sells ON deal FOR INSERT WITH CHECK (seller = current_user);
CREATE POLICY shows ON deal FOR UPDATE USING (seller = current_user);
GRANT SELECT, INSERT ON deal TO acme, globex;
GRANT UPDATE (shown_to) ON deal TO acme, globex;
GRANT SELECT ON deal TO auditor;

-- A view reads with the rights of who asks, not of its owner: without security_invoker it would show every row to everybody.
CREATE VIEW turnover WITH (security_invoker) AS SELECT seller, sum(price) AS total FROM deal GROUP BY seller;
GRANT SELECT ON turnover TO acme, globex, auditor;

-- Policies are asked in the session of a client. That a deal stands is judged by every member.
SELECT dadbs.deploy_contract('deal_stands', $$
BEGIN
  IF TG_OP = 'DELETE' OR (NEW.id, NEW.seller, NEW.buyer, NEW.price) <> (OLD.id, OLD.seller, OLD.buyer, OLD.price) THEN
    RAISE EXCEPTION 'deal % stands as it is', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER deal_stands AFTER UPDATE OR DELETE ON deal FOR EACH ROW EXECUTE FUNCTION dadbs.contract('deal_stands');
COMMIT;
