"""A member that lies: its server is built with test/modules/liar, which forges what it orders and skips what it should run.

Members 1 to 3 are honest. Whatever member 4 sends, they come to one verdict, which counts against its origin, and stay equal. Those lies that
its own apply worker does not share leave it equal too; one that skips contracts comes to something else than the rest, and finds out.
Votes that lie are the simulator's business, what sessions can be made to order by settings that of contract_approval_test.py.
"""
import contextlib
import os
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from builds import Installation, start_with
from clients import Background, everywhere
from harness import Suite, check, equal, eventually, sqlstate

LIAR, HONEST = 4, (1, 2, 3)
LAST = "SELECT verdict, sqlstate FROM dadbs.transactions WHERE origin = 'm4' ORDER BY height DESC, position DESC LIMIT 1"
OUTCOMES = "SELECT height, index, verdict, md5(keys) FROM dadbs_internal.transaction ORDER BY 1, 2"
COUNTED = "SELECT origin, count(*) FROM dadbs.transactions WHERE verdict = 'invalid' GROUP BY 1"
NUMBER = "SELECT count(*) FROM dadbs.transactions WHERE origin = 'm4'"


def installation(base):
    made = Installation(base)
    made.make("liar")
    return made.config


def begin(c):
    made = Background(installation, os.path.join(c.base, "liar"))
    c.start()
    c.liar_config = made.result(180, "the compiler")
    restart(c)


def restart(c, running=True):
    """The member that lies, with the server that does it."""
    if running:
        c.stop_member(LIAR)
    start_with(c, LIAR, c.liar_config)
    c.wait_ready()


suite = Suite("liar", port=9500, begin=begin)


@contextlib.contextmanager
def lying(c, *lies):
    path = os.path.join(c.dir, f"m{LIAR}", "lie")
    with open(path + ".new", "w") as f:
        f.write("".join(lie + "\n" for lie in lies))
    os.rename(path + ".new", path)
    try:
        yield
    finally:
        os.remove(path)


# The rows of a session that wants no triggers are not committed by itself: it is told what the apply worker of its own member finds.
REPLAYED = "SET session_replication_role = replica"
CHILD = "INSERT INTO child VALUES (10, 1, 5, 10)"
MOVED = "UPDATE child SET id = 20 WHERE id = 2"
INVOICE = "INSERT INTO invoice VALUES (10, 10)"
ROWS = [  # lies, what the client asks for, verdict, SQLSTATE
    (["schema_base -10"], CHILD, "conflict", "40001"),               # before the table was made
    (["value child 3 101"], CHILD, "rejected", "23514"),             # breaks a CHECK
    (["value child 3"], CHILD, "rejected", "23502"),                 # and NOT NULL
    (["value child 5 -1"], CHILD, "rejected", "23514"),              # and a domain's CHECK
    (["value child 2 99"], CHILD, "rejected", "23503"),              # a child without a parent
    (["value child 4 1"], CHILD, "rejected", "23505"),               # a unique key that is taken
    (["value child 1 1"], CHILD, "rejected", "23505"),               # a row that is there
    (["value child 3 many"], CHILD, "rejected", "22P02"),            # no number
    (["value child 1"], CHILD, "rejected", "23502"),                 # a row without its key
    (["op child U"], CHILD, "invalid", "DA005"),                        # an update of nothing
    (["op child D"], CHILD, "invalid", "DA005"),                        # a delete of nothing
    (["op child D"], "UPDATE child SET n = 6 WHERE id = 1", "committed", None),  # what a client could have asked for as well
    (["op parent D"], "UPDATE parent SET note = 'x' WHERE id = 2", "rejected", "23503"),  # a parent, and its children stay
    (["forget_old child"], MOVED, "invalid", "DA005"),                  # a key is dropped
    (["old child 1"], MOVED, "invalid", "DA005"),
    (["old child 1 77"], MOVED, "invalid", "DA005"),
    (["relation child pg_catalog pg_class"], CHILD, "invalid", "DA005"),
    (["relation child dadbs_internal transaction"], CHILD, "invalid", "DA005"),
    (["relation child dadbs_internal contract_version"], CHILD, "invalid", "DA005"),
    (["relation child public nowhere"], CHILD, "invalid", "DA005"),
    (["relation child public parent"], CHILD, "invalid", "DA005"),      # other columns
    (["repeat"], CHILD, "rejected", "23505"),
    (["kind 2"], CHILD, "invalid", "DA005"),
    (["kind 3"], CHILD, "invalid", "DA005"),
    (["base 1000", "schema_base 1000"], CHILD, "conflict", "40001"),  # has seen what is not there yet
    (["value invoice 2 5000"], INVOICE, "rejected", "P0009"),        # what the contract refuses
    (["relation invoice public ledger"], INVOICE, "rejected", "42501"),  # its effect, without what it comes from
    (["add public ledger 10 1000000"], INVOICE, "rejected", "42501"),    # or beside it
    (["add public ledger 10 10"], INVOICE, "rejected", "42501"),         # also the right one
]


class Sessions:
    """One on each member: nothing here waits for a new connection."""

    def __init__(self, c):
        self.open = {i: c.connect(i) for i in c.members()}

    def rows(self, member, statement):
        with self.open[member].cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def same(self, query, members=None):
        """What all of these members answer, once they have applied what the liar has."""
        height = self.rows(LIAR, "SELECT dadbs.applied_height()")[0][0]
        seen = {}
        for member in members or self.open:
            self.rows(member, f"SELECT dadbs.wait_for({height})")
            seen[member] = self.rows(member, query)
        check(len(set(map(str, seen.values()))) == 1, f"{query}: {seen}")
        return seen[1]


@suite.test
def what_it_orders(c):
    """Each lie by itself: one verdict on all members, and nothing of it in any table."""
    c.run(1, "CREATE TABLE early (id int PRIMARY KEY)", *(f"INSERT INTO early VALUES ({i})" for i in range(8)), "CREATE DOMAIN counted AS int CHECK (VALUE >= 0)",
          "CREATE TABLE parent (id int PRIMARY KEY, note text)", "CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent, "
          "n int NOT NULL CHECK (n BETWEEN 0 AND 100), u int UNIQUE, f counted)", "CREATE TABLE invoice (id int PRIMARY KEY, amount int)",
          "CREATE TABLE ledger (id int PRIMARY KEY, amount int)", "INSERT INTO parent VALUES (1), (2)", "INSERT INTO child VALUES (1, 1, 1, 1, 1), (2, 2, 2, 2, 2)",
          "SELECT dadbs.deploy_contract('booked', $$BEGIN IF NEW.amount > 1000 THEN RAISE EXCEPTION 'too much' USING ERRCODE = 'P0009'; END IF; "
          "INSERT INTO ledger VALUES (NEW.id, NEW.amount); RETURN NULL; END$$)",
          "BEGIN", "SELECT dadbs.protect_table('ledger', contracts => '{booked}')",
          "CREATE TRIGGER booked AFTER INSERT OR UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION dadbs.contract('booked')", "COMMIT")
    c.settle()
    sessions, wrong = Sessions(c), []
    sessions.rows(LIAR, REPLAYED)
    for number, (lies, statement, verdict, state) in enumerate(ROWS):
        with lying(c, *lies):
            told = sqlstate(lambda: sessions.rows(LIAR, statement))
        found = sessions.same(LAST)[0], sessions.same(NUMBER)[0][0]
        if (found, told) != (((verdict, state), number + 1), state):
            wrong.append(f"{lies} {statement}: {found}, its client {told}; expected {verdict} {state}")
    equal("\n".join(wrong), "", "verdicts")
    expected = sum(verdict == "invalid" for _, _, verdict, _ in ROWS)
    equal(sessions.same(COUNTED), [("m4", expected)], "what no honest origin would have made, by origin")
    equal(sessions.same("SELECT count FROM dadbs.stat_conflicts WHERE kind = 'invalid'"), [(expected,)], "and in the statistics")
    everywhere(c, "SELECT (SELECT array_agg(id ORDER BY id) FROM parent), (SELECT array_agg(id ORDER BY id) FROM child), (SELECT count(*) FROM invoice), "
                  "(SELECT count(*) FROM ledger)", [([1, 2], [2], 0, 0)], "rows")
    sessions.rows(LIAR, INVOICE)
    sessions.rows(LIAR, MOVED)
    everywhere(c, "SELECT (SELECT amount FROM ledger), (SELECT count(*) FROM child WHERE id = 20)", [(10, 1)], "what it says honestly")


@suite.test
def calls(c):
    """A signature is the caller's: neither arguments nor signer can be changed on the way, nor the signature left out."""
    c.run(1, "CREATE TABLE paid (id int PRIMARY KEY, who bytea NOT NULL)", "SELECT dadbs.deploy_contract('pay', $$BEGIN IF dadbs.caller_key() IS NULL THEN "
          "RAISE EXCEPTION 'not signed' USING ERRCODE = 'P0009'; END IF; INSERT INTO paid VALUES (p_id, dadbs.caller_key()); END$$, arguments => 'p_id int')")
    c.settle()
    sessions = Sessions(c)
    secret = Ed25519PrivateKey.generate()
    key = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    signature = secret.sign(bytes(sessions.rows(LIAR, "SELECT dadbs.call_message('pay', 'n', 1)")[0][0])).hex()
    pay = f"SELECT dadbs.call_contract_signed('pay', '\\x{key}', 'n', '\\x{signature}', 1)"
    for lie, state in (("argument 1 2", "28000"), ("key", "28000"), ("unsigned", "P0009")):
        with lying(c, lie):
            equal(sqlstate(lambda: sessions.rows(LIAR, pay)), state, lie)
        equal(sessions.same(LAST), [("rejected", state)], lie)
    equal(sqlstate(lambda: sessions.rows(1, pay)), None, "handed in by another member")
    c.settle()
    equal(sqlstate(lambda: sessions.rows(LIAR, pay)), "28000", "handed in again by the liar")
    everywhere(c, "SELECT id, encode(who, 'hex') FROM paid", [(1, key)], "paid")


@suite.test
def gives_false_histories(c):
    """Member 3 mends an edited history, and has to ask the liar: what it says is not believed, takes no memory and not for ever."""
    c.settle()
    eventually(lambda: c.run(3, "SELECT count(*), bool_and(equal), bool_and(height = dadbs.applied_height()) FROM dadbs.state_digests") == [(4, True, True)], 30, "all agree")
    before = c.run(3, OUTCOMES)
    edited = [c.value(i, "WITH e AS (UPDATE dadbs_internal.transaction SET keys = NULL WHERE verdict = 1 AND height < 30 RETURNING 1) SELECT count(*) FROM e")
              for i in (1, 3)]  # of the honest ones only 2 can be asked
    check(min(edited) > 3, f"rows edited: {edited}")
    for lie in ("silent", "huge", "twisted") + (("slow",) if os.environ.get("DADBS_LONG") else ()):
        with lying(c, f"history {lie}"):
            began = time.monotonic()
            equal(sqlstate(lambda: c.run(3, "CALL dadbs.rebuild_database()")), "55000", lie)
            check(time.monotonic() - began < 75, f"{lie}: {time.monotonic() - began:.0f} s")
        check(c.run(3, OUTCOMES) != before, "nothing was mended")
    for i in (3, 1):
        c.run(i, "CALL dadbs.rebuild_database()")
        equal(c.run(i, OUTCOMES), before, "with what honest members say")
    c.run(3, "INSERT INTO early VALUES (100)")


@suite.test
def skips_contracts(c):
    """It finds out by the others' digests that it has come to something else, and takes no more writes. They agree on everything and go on."""
    sessions = Sessions(c)
    with lying(c, "skip_contracts"):
        equal(sqlstate(lambda: sessions.rows(LIAR, "INSERT INTO invoice VALUES (50, 5000)")), None, "what it tells its own client")
        equal(sessions.rows(LIAR, LAST), [("committed", None)], "what it believes")
        equal(sessions.same(LAST, HONEST), [("rejected", "P0009")], "what it is")
        sessions.rows(1, "INSERT INTO invoice VALUES (51, 51)")
        c.settle()
    equal([len(sessions.rows(i, "SELECT 1 FROM ledger WHERE id = 51")) for i in c.members()], [1, 1, 1, 0], "an effect that it does not have")
    eventually(lambda: sessions.rows(LIAR, "SELECT state FROM dadbs.status") == [("diverged",)], 30, "the liar finds out")
    equal({i: sessions.rows(i, "SELECT state FROM dadbs.status") for i in HONEST}, {i: [("ready",)] for i in HONEST}, "the others go on")
    # Without the lie it goes on from what it has, and writes no more; what others say, it cannot follow.
    equal(sqlstate(lambda: sessions.rows(LIAR, "UPDATE invoice SET amount = 1 WHERE id = 50")), "DA006", "a row of its own")
    sessions.rows(2, "INSERT INTO invoice VALUES (50, 50)")
    equal(sqlstate(lambda: sessions.rows(3, "UPDATE invoice SET amount = 52 WHERE id = 51")), "23505", "its effect is there already")
    c.settle()
    of_others = "SELECT origin, verdict, sqlstate FROM dadbs.transactions WHERE origin <> 'm4' ORDER BY height DESC, position DESC LIMIT 2"
    equal(sessions.same(of_others, HONEST), [("m3", "rejected", "23505"), ("m2", "committed", None)], "transactions of honest members")
    check(sessions.rows(LIAR, of_others) != sessions.rows(1, of_others), "its verdict differs")
    equal(len({bytes(sessions.rows(i, "SELECT dadbs.latest_block_hash()")[0][0]) for i in c.members()}), 1, "chains")
    for what, differs in (("database_digest()", True), ("table_digest('invoice')", True), ("table_digest('ledger')", True), ("table_digest('child')", False)):
        digests = [bytes(sessions.rows(i, f"SELECT dadbs.{what}")[0][0]) for i in c.members()]
        equal((len(set(digests[:3])), digests[3] != digests[0]), (1, differs), what)
    equal(len({bytes(sessions.rows(i, "SELECT dadbs.latest_block_hash()")[0][0]) for i in c.members()}), 1, "chains")
    # It gives up the lie, and is taken back.
    c.run(LIAR, "CALL dadbs.rebuild_database()")
    eventually(lambda: c.value(LIAR, "SELECT state FROM dadbs.status") == "ready", 30, "it takes writes again")
    c.run(LIAR, "INSERT INTO invoice VALUES (60, 60)")
    equal(c.run(LIAR, LAST), c.run(1, LAST), "its last transaction")


if __name__ == "__main__":
    suite.main()
