"""The contracts of examples/contracts, as their READMEs tell them, on four members. (The token's is in contracts_test.)"""
import itertools
import os
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import ROOT, Suite, Workers, check, equal, eventually, sqlstate

suite = Suite("contract_examples", port=8230)
DENIED, STANDS, VIOLATED, NO_SIGNATURE = "42501", "23001", "23514", "28000"


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
    eventually(lambda: sqlstate(lambda: c.run(4, more())) == STANDS, 30, "the record is overdue")
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
    eventually(lambda: sqlstate(lambda: c.run(2, back)) is None, 30, "the lock expires and is returned")
    refused(c, DENIED, 1, "UPDATE gold SET owner = 'm1'")
    everywhere(c, "SELECT g.owner, g.grams, g.locked_by, k.owner, k.amount, k.locked_by FROM gold g, cash k",
               [("m2", 50, None, "m1", 3000, None)])


class Party:
    """A holder of a key, who signs calls. Any member hands them in."""

    def __init__(self):
        self.secret = Ed25519PrivateKey.generate()
        self.key = f"'\\x{self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()}'"

    def sign(self, c, member, contract, nonce, *arguments):
        return self.secret.sign(bytes(c.value(member, f"SELECT dadbs.call_message('{contract}', '{nonce}', {', '.join(map(str, arguments))})", user="escrow_client")))

    def calls(self, c, member, contract, nonce, *arguments, signature=None):
        signature = signature or self.sign(c, member, contract, nonce, *arguments)
        return c.value(member, f"SELECT dadbs.call_contract_signed('{contract}', {self.key}, '{nonce}', '\\x{signature.hex()}', "
                               f"{', '.join(map(str, arguments))})", user="escrow_client")


@suite.test
def escrow(c):
    install(c, "escrow")
    buyer, seller, arbiter, stranger = (Party() for _ in range(4))

    # Calls stand on nothing that was read before: what one member has been told holds for the next call of any other.
    def gets(result, party, member, *call, signature=None):
        equal(party.calls(c, member, *call, signature=signature), result, f"{call} on member {member}")

    def fails(state, party, member, *call, signature=None):
        equal(sqlstate(lambda: party.calls(c, member, *call, signature=signature)), state, f"{call} on member {member}")
    deposit = f"SELECT dadbs.call_contract('escrow_deposit', {buyer.key}, 500)"
    refused(c, DENIED, 2, deposit)
    refused(c, DENIED, 1, f"SELECT dadbs.call_contract('escrow_open', 1, {seller.key}, {arbiter.key}, 300, now() + interval '1 hour')")
    does(c, 1, deposit)
    for member, statement in ((1, f"UPDATE escrow_account SET balance = 9000 WHERE key = {buyer.key}"), (4, f"INSERT INTO escrow_account VALUES ({stranger.key}, 1)"),
                              (3, "DELETE FROM escrow_account")):
        refused(c, DENIED, member, statement)
    parties, later = (seller.key, arbiter.key), "'2100-01-01 00:00+00'"
    fails(VIOLATED, buyer, 2, "escrow_open", "a", 1, *parties, 501, later)
    fails(VIOLATED, buyer, 2, "escrow_open", "b", 1, *parties, 300, "'2020-01-01 00:00+00'")
    fails(VIOLATED, buyer, 2, "escrow_open", "c", 1, seller.key, seller.key, 300, later)
    fails(VIOLATED, stranger, 2, "escrow_open", "d", 1, *parties, 300, later)
    gets("200.00", buyer, 2, "escrow_open", "e", 1, *parties, 300, later)
    # One of three, and again, and by nobody of them, and by a signature of another call: not released.
    fails(DENIED, stranger, 3, "escrow_release", "a", 1)
    gets("signed", seller, 3, "escrow_release", "a", 1)
    gets("signed", seller, 4, "escrow_release", "b", 1)
    fails(NO_SIGNATURE, arbiter, 4, "escrow_release", "b", 1, signature=seller.sign(c, 4, "escrow_release", "b", 1))
    fails(NO_SIGNATURE, arbiter, 4, "escrow_release", "a", 1, signature=arbiter.sign(c, 4, "escrow_release", "a", 2))
    fails(VIOLATED, buyer, 1, "escrow_refund", "f", 1)
    for member, statement in ((3, f"INSERT INTO escrow_release_signature VALUES (1, {arbiter.key}, now())"), (4, "UPDATE escrow SET state = 'released'")):
        refused(c, DENIED, member, statement)
    refused(c, DENIED, 4, "SELECT dadbs.call_contract('escrow_release', 1)")
    everywhere(c, "SELECT e.state, count(*) FROM escrow e JOIN escrow_release_signature s ON s.escrow = e.id GROUP BY 1", [("held", 1)])
    gets("released", arbiter, 4, "escrow_release", "a", 1)
    fails(NO_SIGNATURE, arbiter, 2, "escrow_release", "a", 1)  # handed in again
    for again, nonce in ((arbiter, "b"), (buyer, "g")):
        fails(STANDS, again, 2, "escrow_release", nonce, 1)
    # And one that the seller alone wants: the buyer's again, when the time has come.
    for seconds in (2, 4, 8, 16, 32):  # too late for the opening itself on a machine that is busy: then with more time
        soon = "'" + c.value(1, f"SELECT (now() + interval '{seconds} seconds')::text") + "'"
        state = sqlstate(lambda: buyer.calls(c, 3, "escrow_open", f"h{seconds}", 2, *parties, 100, soon))
        if state is None:
            break
        equal(state, VIOLATED, "an opening that comes too late")
    gets("signed", seller, 1, "escrow_release", "c", 2)
    fails(DENIED, seller, 1, "escrow_refund", "d", 2)
    refund = buyer.sign(c, 4, "escrow_refund", "i", 2)
    eventually(lambda: sqlstate(lambda: buyer.calls(c, 4, "escrow_refund", "i", 2, signature=refund)) is None, 60, "the date passes and the money is returned")
    fails(STANDS, arbiter, 1, "escrow_release", "d", 2)
    everywhere(c, "SELECT id, amount, state FROM escrow ORDER BY id", [(1, 300, "released"), (2, 100, "refunded")])
    everywhere(c, f"SELECT balance FROM escrow_account ORDER BY key = {seller.key}", [(200,), (300,)])


@suite.test
def private_rows(c):
    install(c, "private_rows")
    for member, user, number, other in ((2, "acme", 1, "globex"), (3, "globex", 2, "acme"), (4, "acme", 3, "initech")):
        c.run(member, f"INSERT INTO deal VALUES ({number}, '{user}', '{other}', {number}000)", user=user)
    c.run(1, "CREATE ROLE initech LOGIN", "CREATE ROLE stranger LOGIN")
    c.settle()

    def reads(user, rows, query="SELECT id FROM deal ORDER BY id"):
        c.settle()
        for member in c.members():
            equal(c.run(member, query, user=user), rows, f"{query} of {user} on member {member}")
    for user, ids in (("acme", [1, 2, 3]), ("globex", [1, 2]), ("auditor", [1, 2, 3]), ("postgres", [1, 2, 3])):
        reads(user, [(i,) for i in ids])
    reads("globex", [("acme", 1000), ("globex", 2000)], "TABLE turnover ORDER BY seller")
    reads("auditor", [("acme", 4000), ("globex", 2000)], "TABLE turnover ORDER BY seller")
    c.run(4, "UPDATE deal SET shown_to = '{globex}' WHERE id = 3", user="acme")
    reads("globex", [(1,), (2,), (3,)])
    for member in c.members():
        for user, state, statement in (("globex", DENIED, "INSERT INTO deal VALUES (9, 'acme', 'globex', 1)"), ("globex", DENIED, "UPDATE deal SET price = 1"),
                                       ("stranger", DENIED, "TABLE deal"), ("acme", DENIED, "SELECT * FROM dadbs.changes"), ("acme", DENIED, "SELECT * FROM dadbs_internal.batch")):
            equal(sqlstate(lambda: c.run(member, statement, user=user)), state, f"{statement} of {user} on member {member}")
    c.run(3, "UPDATE deal SET shown_to = '{}'", user="globex")  # of rows that are not its own: none
    reads("acme", [(3,)], "SELECT id FROM deal WHERE shown_to = '{globex}'")
    refused(c, STANDS, 2, "UPDATE deal SET price = 1 WHERE id = 1")
    for statement in ("DROP POLICY parties ON deal", "CREATE POLICY more ON deal USING (true)", "ALTER POLICY shown ON deal USING (true)",
                      "ALTER TABLE deal DISABLE ROW LEVEL SECURITY", "GRANT SELECT ON deal TO stranger"):
        refused(c, DENIED, 3, statement)
    reads("globex", [(1,), (2,), (3,)])


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
