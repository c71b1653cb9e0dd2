-- A credit limit for Northwind's customers (test/data/northwind.sql): what is ordered and not shipped stays below it.
BEGIN;
CREATE TABLE credit (customer_id varchar(5) PRIMARY KEY REFERENCES customers, credit_limit numeric(12, 2) NOT NULL CHECK (credit_limit >= 0));
CREATE INDEX ON orders (customer_id) WHERE shipped_date IS NULL;

SELECT dadbs.deploy_contract('credit_limit', $$
DECLARE
  v_customer varchar(5);
  v_limit numeric;
  v_open numeric;
BEGIN
  SELECT customer_id INTO STRICT v_customer FROM orders WHERE order_id = NEW.order_id;
  SELECT credit_limit INTO v_limit FROM credit WHERE customer_id = v_customer;
  IF NOT FOUND THEN
    RETURN NULL;  -- nobody has limited this customer
  END IF;
  -- Northwind's prices are reals: made exact one by one, they give the same sum in any order.
  SELECT coalesce(sum(d.unit_price::numeric * d.quantity * (1 - d.discount::numeric)), 0) INTO STRICT v_open
    FROM orders o JOIN order_details d USING (order_id)
    WHERE o.customer_id = v_customer AND o.shipped_date IS NULL;
  IF v_open > v_limit THEN
    RAISE EXCEPTION '% would owe %, and has credit for %', v_customer, round(v_open, 2), v_limit
      USING ERRCODE = 'check_violation', DETAIL = format('Order %s asks for %s of product %s.', NEW.order_id, NEW.quantity, NEW.product_id),
            HINT = 'Ship open orders, or let the bank raise the limit.';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER credit_limit AFTER INSERT OR UPDATE ON order_details FOR EACH ROW EXECUTE FUNCTION dadbs.contract('credit_limit');

-- What is shipped stays shipped, and an order stays its customer's: else it could grow after it was judged.
SELECT dadbs.deploy_contract('order_stays', $$
BEGIN
  RAISE EXCEPTION 'order % stays what it is', OLD.order_id USING ERRCODE = 'restrict_violation';
END $$);
CREATE TRIGGER order_stays AFTER UPDATE ON orders FOR EACH ROW
  WHEN (OLD.customer_id IS DISTINCT FROM NEW.customer_id OR (OLD.shipped_date IS NOT NULL AND NEW.shipped_date IS NULL))
  EXECUTE FUNCTION dadbs.contract('order_stays');

SELECT dadbs.deploy_contract('credit_by_bank', $$
BEGIN
  IF dadbs.origin_node() <> 'm1' THEN
    RAISE EXCEPTION 'only the bank sets limits' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER credit_by_bank AFTER INSERT OR UPDATE OR DELETE ON credit FOR EACH ROW EXECUTE FUNCTION dadbs.contract('credit_by_bank');
COMMIT;
