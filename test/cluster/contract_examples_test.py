"""The contracts of examples/contracts, as their READMEs tell them, on four members. (The token's is in contracts_test.)"""
import itertools
import os
import re

from harness import ROOT, Suite, Workers, check, equal, eventually, sqlstate

suite = Suite("contract_examples", port=8230)
DENIED, STANDS, VIOLATED = "42501", "23001", "23514"


def install(c, name):
    with open(os.path.join(ROOT, "examples", "contracts", name, f"{name}.sql")) as script:
        c.psql(1, "-v", "ON_ERROR_STOP=1", stdin=script.read())
    c.settle()


def does(c, member, statement):
    c.run(member, statement)
    c.settle()


def refused(c, state, member, statement):
    equal(sqlstate(lambda: c.run(member, statement)), state, f"{statement} on member {member}")
    c.settle()  # else what another member writes next may meet what was refused here


def everywhere(c, query, rows):
    c.settle()
    for i in c.members():
        equal(c.run(i, query), rows, f"{query} on member {i}")


@suite.test
def access_control(c):
    install(c, "access_control")
    refused(c, DENIED, 2, "INSERT INTO access_role VALUES ('m2', 'auditor')")
    does(c, 1, "INSERT INTO access_role VALUES ('m2', 'writer'), ('m3', 'auditor')")
    does(c, 2, "INSERT INTO document VALUES (1, 'Terms', 'Net 30 days.', 'm2', 'draft')")
    does(c, 2, "UPDATE document SET body = 'Net 20 days.' WHERE id = 1")
    refused(c, DENIED, 4, "INSERT INTO document VALUES (2, 'x', 'x', 'm4', 'draft')")
    refused(c, DENIED, 2, "INSERT INTO document VALUES (2, 'x', 'x', 'm3', 'draft')")
    refused(c, DENIED, 2, "UPDATE document SET state = 'released' WHERE id = 1")
    refused(c, DENIED, 3, "UPDATE document SET state = 'released', body = 'Net 90 days.' WHERE id = 1")
    refused(c, DENIED, 3, "DELETE FROM document WHERE id = 1")
    refused(c, DENIED, 1, "UPDATE document SET body = 'Net 90 days.' WHERE id = 1")
    does(c, 3, "UPDATE document SET state = 'released' WHERE id = 1")
    refused(c, DENIED, 2, "DELETE FROM document WHERE id = 1")
    refused(c, DENIED, 2, "DROP TRIGGER document_access ON document")
    everywhere(c, "SELECT id, body, written_by, state FROM document", [(1, "Net 20 days.", "m2", "released")])


@suite.test
def retention(c):
    install(c, "retention")
    does(c, 1, "INSERT INTO record VALUES (1, 'invoice', now() + interval '10 years', now() + interval '11 years')")
    does(c, 2, "INSERT INTO record VALUES (2, 'offer', now() - interval '1 day', now() + interval '3 seconds')")
    for member in c.members():
        refused(c, STANDS, member, "DELETE FROM record WHERE id = 1")
    refused(c, STANDS, 3, "UPDATE record SET keep_until = now() WHERE id = 1")
    refused(c, DENIED, 3, "TRUNCATE record")
    numbers = itertools.count(100)

    def more():
        return f"INSERT INTO record VALUES ({next(numbers)}, 'new', now(), now() + interval '1 year')"
    eventually(lambda: sqlstate(lambda: c.run(4, more())) == STANDS, 10, "the record is overdue")
    does(c, 4, "DELETE FROM record WHERE delete_by < now()")
    does(c, 4, more())
    everywhere(c, "SELECT count(*) FROM record WHERE id IN (1, 2)", [(1,)])


@suite.test
def supply_chain(c):
    install(c, "supply_chain")
    refused(c, DENIED, 2, "INSERT INTO shipment VALUES (1, 'pallets', 'm1')")
    does(c, 1, "INSERT INTO shipment VALUES (1, 'pallets', 'm1')")
    refused(c, DENIED, 3, "UPDATE shipment SET holder = 'm3' WHERE id = 1")
    refused(c, DENIED, 3, "UPDATE shipment SET offered_to = 'm3' WHERE id = 1")
    does(c, 1, "UPDATE shipment SET offered_to = 'm3' WHERE id = 1")
    refused(c, DENIED, 2, "UPDATE shipment SET holder = 'm3', offered_to = NULL WHERE id = 1")
    refused(c, DENIED, 2, "UPDATE shipment SET holder = 'm2', offered_to = NULL WHERE id = 1")
    refused(c, STANDS, 1, "UPDATE shipment SET goods = 'gold' WHERE id = 1")
    does(c, 3, "UPDATE shipment SET holder = 'm3', offered_to = NULL WHERE id = 1")
    refused(c, DENIED, 1, "UPDATE shipment SET offered_to = 'm2' WHERE id = 1")
    refused(c, STANDS, 3, "DELETE FROM shipment WHERE id = 1")
    for statement in ("INSERT INTO custody VALUES (1, 3, 'm4', now())", "DELETE FROM custody", "UPDATE custody SET holder = 'm4'"):
        refused(c, DENIED, 4, statement)
    everywhere(c, "SELECT shipment, step, holder FROM custody ORDER BY 1, 2", [(1, 1, "m1"), (1, 2, "m3")])


@suite.test
def atomic_swap(c):
    install(c, "atomic_swap")
    later = "now() + interval '1 hour'"
    lock = f"INSERT INTO swap VALUES (1, 'gold', 1, 'm1', 'm2', sha256('secret'), {later})"
    refused(c, DENIED, 3, lock)
    does(c, 1, lock)
    refused(c, VIOLATED, 1, f"INSERT INTO swap VALUES (9, 'gold', 1, 'm1', 'm3', sha256('other'), {later})")
    does(c, 2, "INSERT INTO swap SELECT 2, 'cash', 1, 'm2', 'm1', lock_hash, expires - interval '30 minutes' FROM swap WHERE id = 1")
    refused(c, VIOLATED, 2, "UPDATE swap SET state = 'taken', secret = 'guess' WHERE id = 1")
    refused(c, DENIED, 3, "UPDATE swap SET state = 'taken', secret = 'secret' WHERE id = 2")
    refused(c, DENIED, 2, "UPDATE swap SET state = 'returned' WHERE id = 2")
    refused(c, STANDS, 2, "UPDATE swap SET taker = 'm3' WHERE id = 2")
    does(c, 1, "UPDATE swap SET state = 'taken', secret = 'secret' WHERE id = 2")
    does(c, 2, "UPDATE swap SET state = 'taken', secret = (SELECT secret FROM swap WHERE id = 2) WHERE id = 1")
    refused(c, STANDS, 1, "UPDATE swap SET state = 'taken', secret = 'secret' WHERE id = 2")
    # And one that nobody takes.
    does(c, 2, "INSERT INTO swap VALUES (3, 'gold', 1, 'm2', 'm4', sha256('x'), now() + interval '2 seconds')")
    back = "UPDATE swap SET state = 'returned' WHERE id = 3"
    eventually(lambda: sqlstate(lambda: c.run(2, back)) is None, 10, "the lock expires and is returned")
    refused(c, DENIED, 1, "UPDATE gold SET owner = 'm1'")
    everywhere(c, "SELECT g.owner, g.grams, g.locked_by, k.owner, k.amount, k.locked_by FROM gold g, cash k",
               [("m2", 50, None, "m1", 3000, None)])


def load_orders(c):
    """Northwind's customers and orders, without what they refer to and what nobody looks at here."""
    with open(os.path.join(ROOT, "test", "data", "northwind.sql")) as f:
        dump = f.read()
    tables = ("customers", "orders", "order_details")
    made = [re.search(rf"CREATE TABLE {t} \(.*?\);", dump, re.S)[0] for t in tables]
    keys = [re.search(rf"ALTER TABLE ONLY {t}\s+ADD CONSTRAINT pk_\w+ PRIMARY KEY \([^)]*\);", dump)[0] for t in tables]
    c.run(1, "BEGIN; " + " ".join(made + keys) + " COMMIT")
    c.run(1, "BEGIN; " + "\n".join(re.findall(r"^INSERT INTO customers .*;$", dump, re.M)) + " COMMIT")
    c.settle()


@suite.test
def credit_limit(c):
    load_orders(c)
    install(c, "credit_limit")
    refused(c, DENIED, 2, "INSERT INTO credit VALUES ('ALFKI', 500)")
    does(c, 1, "INSERT INTO credit VALUES ('ALFKI', 500)")
    does(c, 2, "INSERT INTO orders (order_id, customer_id) SELECT 20000 + g, 'ALFKI' FROM generate_series(1, 40) g")
    refused(c, VIOLATED, 2, "INSERT INTO order_details VALUES (20001, 58, 13.25, 50, 0)")
    outcomes = []

    def work(stop, member):
        connection = c.connect(member)
        with connection.cursor() as cursor:
            for i in range(10):
                line = f"INSERT INTO order_details VALUES ({20000 + 10 * (member - 1) + i + 1}, 58, 30.5, 1, 0)"
                outcomes.append(sqlstate(lambda: cursor.execute(line)))
        connection.close()

    workers = Workers()
    for member in c.members():
        workers.start(work, member)
    workers.join()
    equal((outcomes.count(None), outcomes.count(VIOLATED), len(outcomes)), (16, 24, 40), "16 lines of 30.50 are 488")
    refused(c, STANDS, 3, "UPDATE orders SET customer_id = 'ANATR' WHERE order_id = 20001")
    does(c, 3, "UPDATE orders SET shipped_date = '1998-05-06' WHERE order_id IN (SELECT min(order_id) FROM order_details)")
    refused(c, STANDS, 3, "UPDATE orders SET shipped_date = NULL WHERE order_id IN (SELECT min(order_id) FROM order_details)")
    does(c, 4, "INSERT INTO order_details VALUES (20040, 59, 30.5, 1, 0)")
    refused(c, VIOLATED, 1, "INSERT INTO order_details VALUES (20039, 59, 30.5, 1, 0)")
    everywhere(c, "SELECT count(*) FROM order_details", [(17,)])
    refused(c, DENIED, 4, "UPDATE credit SET credit_limit = 100000")
    check(c.value(2, "SELECT count(*) FROM dadbs.transactions WHERE verdict = 'rejected' AND sqlstate = '23514'") >= 26, "refusals on the chain")


if __name__ == "__main__":
    suite.main()
