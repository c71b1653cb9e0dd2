"""What members come to is compared: one that differs finds out by itself, takes no writes, and the others go on."""
import json

from harness import Suite, Workers, check, equal, error_of, eventually, sqlstate
from tamper import behind, empty, heap_file, single

suite = Suite("divergence", port=9600)
OUTCOMES = ("SELECT height, index, verdict, md5(keys) FROM dadbs_internal.transaction UNION ALL "
            "SELECT height, index, -1, md5(contract || change::text) FROM dadbs_internal.contract_effect ORDER BY 1, 2, 3, 4")
NAMED = "SELECT count(*) = 1 FROM dadbs.divergence WHERE height IS NOT NULL"
STATE = "SELECT state, reason FROM dadbs.status"


def digests(c, member):
    return {node: (height, equal_) for node, height, equal_ in c.run(member, "SELECT node, height, equal FROM dadbs.state_digests")}


def all_agree(c):
    """Every member has every member's digest of one height, and they are equal."""
    heights = {c.value(i, "SELECT dadbs.applied_height()") for i in c.members()}
    seen = [digests(c, i) for i in c.members()]
    return len(heights) == 1 and all(set(d) == {f"m{k}" for k in c.members()} and set(d.values()) == {(max(heights), True)} for d in seen)


class Writers:
    """Clients of some members that execute what `statement` gives for a running number, one after the other."""

    def __init__(self, c, members, statement):
        self.workers, self.done, self.told = Workers(), [], set()
        for member in members:
            self.workers.start(self.write, c, member, statement)
        eventually(lambda: len(self.done) > 10, 30, "writers")

    def write(self, stop, c, member, statement):
        k = member
        while not stop.is_set():
            k += 10
            state = sqlstate(lambda: c.run(member, statement(k)))
            self.done.append(k) if state is None else self.told.add(state)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workers.join()
        check(self.told <= {"40001", "40P01", "40003", "57014"}, f"writers were told {self.told}")


@suite.test
def equal_members_agree(c):
    """Rows, refused transactions, definitions, contracts and calls; through checkpoints, and where the chain stands still."""
    c.run(1, "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE)", "CREATE TABLE log (id int PRIMARY KEY, v text)",
          "SELECT dadbs.deploy_contract('logged', $$BEGIN IF NEW.v = 'no' THEN RAISE EXCEPTION 'no'; END IF; "
          "INSERT INTO log VALUES (NEW.id, NEW.v); RETURN NULL; END$$)",
          "CREATE TRIGGER logged AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION dadbs.contract('logged')",
          "SELECT dadbs.deploy_contract('change', $$BEGIN UPDATE log SET v = p_v WHERE id = p_id; END$$, arguments => 'p_id int, p_v text')")
    c.settle()
    for k in range(150):  # through two of the regular ones
        i = 1 + k % 4
        sqlstate(lambda: c.run(i, f"INSERT INTO t VALUES ({k}, '{'no' if k % 7 == 0 else 'x'}', {k if k % 5 else 0})"))
    c.settle()
    c.run(2, "SELECT dadbs.call_contract('change', 1, 'y')", "CREATE TABLE plain (id int PRIMARY KEY)", "DELETE FROM t WHERE id > 100")
    c.settle()  # where the chain stands still, the last block counts too
    eventually(lambda: all_agree(c), 30, "all members agree on the last block")
    equal({c.value(i, "SELECT count(DISTINCT height) >= 2 FROM dadbs_internal.state_digest WHERE height % 64 = 0") for i in c.members()},
          {True}, "digests at the heights that all come to")
    kept = [c.run(i, "SELECT height, digest FROM dadbs_internal.state_digest WHERE height % 64 = 0 ORDER BY 1") for i in c.members()]
    equal([[(h, bytes(d)) for h, d in rows] for rows in kept], [[(h, bytes(d)) for h, d in kept[0]]] * 4, "their digests")


@suite.test
def restarts_change_nothing(c):
    c.stop_member(3, "immediate")
    c.run(1, "INSERT INTO log VALUES (1000, 'while one is away')")
    c.kill(2)
    c.start_member(2)
    c.start_member(3)
    c.wait_ready()
    c.run(2, "INSERT INTO log VALUES (1001, 'and back')")
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree again")


@suite.test
def who_has_lost_a_row_finds_out(c):
    """A superuser takes a row away behind the extension's back. It shows with the first transaction that needs it."""
    eventually(lambda: all_agree(c), 30, "all members agree before")
    agreed = c.value(4, "SELECT max(height) FROM dadbs_internal.state_digest")
    path = heap_file(c, 4, "log")
    c.stop_member(4)
    empty(path)
    c.start_member(4)
    c.wait_ready()
    listener = c.connect(4)
    with listener.cursor() as cursor:
        cursor.execute("LISTEN dadbs")
    c.run(1, "SET enable_seqscan = off", "UPDATE log SET v = 'changed' WHERE id = 1000")
    eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "diverged", 30, "member 4 finds out")
    reason = c.run(4, STATE)[0][1]
    eventually(lambda: listener.poll() or listener.notifies, 30, "it says so by NOTIFY")
    said = json.loads(listener.notifies[0].payload)
    equal((said["event"], said["agreed"], said["no_quorum"], said["height"] > agreed), ("diverged", agreed, False, True), "what it says")
    listener.close()
    check(f"since a position between block {agreed} and block" in reason, f"{reason}; agreed up to {agreed}")
    e = error_of(lambda: c.run(4, "INSERT INTO t VALUES (5000, 'x', 5000)"))
    equal((e.pgcode, "diverged" in str(e)), ("DA006", True), "its writers are told")
    equal(c.value(4, "SELECT count(*) > 0 FROM t"), True, "it can be read")
    equal(c.value(4, "SELECT equal FROM dadbs.state_digests WHERE node = 'm4'"), True, "its own digest")
    equal({c.run(i, "SELECT state, can_write FROM dadbs.status")[0] for i in (1, 2, 3)}, {("ready", True)}, "the others")
    for i in (1, 2, 3):
        eventually(lambda: c.run(i, "SELECT DISTINCT node FROM dadbs.faults WHERE kind = 'another digest' AND count > 0") == [("m4",)], 30, f"a fault for member {i}")
    equal(c.run(1, "SELECT * FROM dadbs.evidence"), [], "no guilt")
    c.run(1, "INSERT INTO t VALUES (5001, 'x', 5001)")
    height = c.value(1, "SELECT dadbs.applied_height()")
    eventually(lambda: c.value(4, "SELECT dadbs.applied_height()") >= height, 30, "it follows the order")
    equal(sqlstate(lambda: c.run(4, "SELECT dadbs.wait_for_ready('5 s')")), "DA006", "no waiting helps")
    c.n = 3  # from here on member 4 is compared with nobody


@suite.test
def it_knows_after_a_restart(c):
    """Also where nobody else is there to tell it."""
    c.stop_member(4, "immediate")
    c.cut(1)
    c.cut(2)
    c.start_member(4)
    eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "diverged", 30, "known at once")
    equal(sqlstate(lambda: c.run(4, "INSERT INTO t VALUES (5000, 'x', 5000)")), "DA006", "no writes")
    c.heal(1)
    c.heal(2)
    eventually(lambda: sqlstate(lambda: c.run(1, "INSERT INTO t VALUES (5002, 'x', 5002)")) is None, 30, "the others go on")


@suite.test
def it_names_the_first_difference(c):
    eventually(lambda: c.value(4, NAMED), 60, "the first difference has a name")
    at = c.run(1, "SELECT height, position, transaction_id FROM dadbs.changes WHERE operation = 'UPDATE' AND relation = 'public.log' "
                  "AND new_row->>'id' = '1000' AND new_row->>'v' = 'changed'")[0]
    found = c.run(4, "SELECT height, position, transaction_id, what, verdict_of_the_group, relation, key FROM dadbs.divergence")[0]
    equal(found, at + ("verdict", "committed", "public.log", {"id": 1000}), "where it differs first")


@suite.test
def it_comes_back(c):
    """Outcomes from the others, tables from the chain, while the others write the very rows that are wrong."""
    with Writers(c, (1, 2, 3), lambda k: f"UPDATE log SET v = 'w{k}' WHERE id IN (1000, {1 + k % 6})"):
        c.run(4, "CALL dadbs.rebuild_database()")
        eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "ready", 30, "it takes writes again")
        c.run(4, "INSERT INTO t VALUES (6000, 'x', 6000)")
    equal(c.value(4, "SELECT count(*) FROM dadbs.divergence"), 0, "nothing is known to differ")
    c.n = 4
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree again")
    equal(c.run(4, "SELECT * FROM dadbs.verify_tables()"), [], "its tables")


@suite.test
def what_contracts_write(c):
    """A contract reads a price that was changed on one member: the effect differs, the verdict does not. A server that dies halfway."""
    c.run(1, "CREATE TABLE item (id int PRIMARY KEY, price int)", "CREATE TABLE orders (id int PRIMARY KEY, item int)",
          "CREATE TABLE bill (id int PRIMARY KEY, price int)",
          "SELECT dadbs.deploy_contract('billed', $$BEGIN INSERT INTO bill SELECT NEW.id, price FROM item WHERE id = NEW.item; RETURN NULL; END$$)",
          "CREATE TRIGGER billed AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION dadbs.contract('billed')", "INSERT INTO item VALUES (1, 10)")
    c.settle()
    # What lies before it diverges is edited, too.
    behind(c, 4, "UPDATE item SET price = 99", "UPDATE dadbs_internal.transaction SET keys = (SELECT x.keys FROM "
           "dadbs_internal.transaction x WHERE x.verdict = 1 AND x.height > 3 ORDER BY x.height LIMIT 1) WHERE verdict = 1 AND height BETWEEN 20 AND 39")
    c.run(1, "INSERT INTO orders VALUES (7, 1)")
    eventually(lambda: c.value(4, NAMED), 60, "the first difference has a name")
    equal(c.run(4, "SELECT what, verdict_here, relation, key FROM dadbs.divergence"), [("effects", None, "public.bill", {"id": 7})], "where it differs first")
    c.run(1, "INSERT INTO orders SELECT g, 1 FROM generate_series(10, 200) g")
    c.settle()
    check(c.value(4, "SELECT dadbs_internal.mend_outcomes(false)") >= 2, "two blocks differ")
    c.kill(4)
    c.start_member(4)
    eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "diverged", 30, "it is not forgotten")
    c.run(4, "CALL dadbs.rebuild_database()")
    eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "ready", 30, "it takes writes again")
    equal(c.run(4, "SELECT price, count(*) FROM bill GROUP BY 1"), [(10, 192)], "what was billed")
    equal(c.run(4, OUTCOMES), c.run(1, OUTCOMES), "outcomes")
    c.run(4, "INSERT INTO orders VALUES (8, 1)")
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree again")


@suite.test
def an_edited_history(c):
    """Verdicts, keys and effects that somebody has edited long after: nothing diverges, and what is made from them would be wrong."""
    before = c.run(3, OUTCOMES)
    behind(c, 3, "UPDATE dadbs_internal.transaction SET verdict = 3, keys = NULL WHERE (height, index) = (SELECT height, index FROM "
                 "dadbs_internal.transaction WHERE verdict = 1 AND height > 20 LIMIT 1)",
           "DELETE FROM dadbs_internal.contract_effect WHERE height % 3 = 0",
           "DELETE FROM dadbs_internal.transaction WHERE height = 40", "UPDATE dadbs_internal.transaction SET number = number + 1 WHERE height = 41",
           "UPDATE dadbs_internal.block SET certificate = (SELECT certificate FROM dadbs_internal.block WHERE height = 43) WHERE height = 42",
           "UPDATE dadbs_internal.block SET body = overlay(body placing '\\x00' from 100) WHERE height = 44",
           "UPDATE dadbs_internal.batch SET body = overlay(body placing '\\x00' from 100) WHERE height = 45",
           "DELETE FROM dadbs_internal.batch WHERE height = 46", "DELETE FROM dadbs_internal.block WHERE height IN (47, 48)")
    check(c.value(3, "SELECT count(DISTINCT height) FROM dadbs.verify_chain()") >= 8, "verify_chain finds them")
    check(c.run(3, OUTCOMES) != before, "they differ")
    equal(error_of(lambda: c.run(3, "SELECT dadbs.rebuild_table('t')")).pgcode, "XX001", "nothing is made from them")
    # Who is asked first has damaged blocks, too.
    c.run(1, "UPDATE dadbs_internal.batch SET body = overlay(body placing '\\x00' from 90) WHERE height = 45")
    # And has edited its outcomes: what it says does not end in what a quorum has signed.
    check(c.value(1, "WITH e AS (UPDATE dadbs_internal.transaction SET keys = NULL WHERE verdict = 1 AND height BETWEEN 20 AND 39 RETURNING 1) "
                     "SELECT count(*) FROM e") > 5, "rows of member 1 are edited")
    c.run(3, "CALL dadbs.rebuild_database()")
    equal(c.run(3, OUTCOMES), before, "outcomes are the group's again")
    equal(c.run(3, "SELECT * FROM dadbs.verify_chain()"), [], "its chain")
    c.run(1, "CALL dadbs.rebuild_database()")
    equal(c.run(1, OUTCOMES), before, "the other one's too")
    for i in (1, 3):
        eventually(lambda: c.value(i, "SELECT state FROM dadbs.status") == "ready", 30, "it takes writes")
    c.run(3, "INSERT INTO t VALUES (7000, 'x', 7000)")
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree")


@suite.test
def keys_that_cannot_be_read(c):
    """Nothing can be certified without them. The member waits, orders with the others, and says for what."""
    c.stop_member(2)
    single(c, 2, "UPDATE dadbs_internal.transaction SET keys = NULL WHERE verdict = 1 AND height BETWEEN 30 AND 39")
    c.start_member(2)
    eventually(lambda: "are damaged" in c.value(2, "SELECT reason FROM dadbs.status"), 30, "it says what it waits for")
    c.run(1, "INSERT INTO t VALUES (8000, 'x', 8000)")
    height = c.value(1, "SELECT dadbs.applied_height()")  # nobody signs what member 2 stands at any more
    eventually(lambda: c.value(1, f"SELECT count(*) = 3 FROM dadbs.state_digests WHERE height >= {height}"), 30, "the others have signed")
    c.run(2, "CALL dadbs.rebuild_database()")
    eventually(lambda: c.value(2, "SELECT state FROM dadbs.status") == "ready", 30, "it takes writes")
    c.run(2, "INSERT INTO t VALUES (8001, 'x', 8001)")
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree")


@suite.test
def a_definition_that_ended_otherwise(c):
    """That cannot be mended by rows, and nothing is changed. A new server with the member's key learns all of it from the others."""
    c.run(1, "CREATE TABLE n (id int PRIMARY KEY, v text)", "INSERT INTO n VALUES (1, NULL), (2, 'x')")
    c.settle()
    behind(c, 4, "DELETE FROM n WHERE id = 1")
    sqlstate(lambda: c.run(4, "ALTER TABLE n ALTER COLUMN v SET NOT NULL"))
    eventually(lambda: c.value(4, NAMED), 60, "member 4 has diverged")
    equal(c.run(4, "SELECT what, verdict_here, verdict_of_the_group FROM dadbs.divergence"), [("verdict", "committed", "rejected")], "where it differs first")
    before = c.run(4, OUTCOMES)
    equal(error_of(lambda: c.run(4, "CALL dadbs.rebuild_database()")).pgcode, "0A000", "refused")
    equal(c.run(4, OUTCOMES), before, "nothing was changed")
    eventually(lambda: c.value(4, "SELECT state FROM dadbs.status") == "diverged", 30, "it stays so")
    c.replace_member(4)
    c.run(2, "INSERT INTO n VALUES (3, NULL)")
    c.wait_ready()
    c.settle()  # ready is who is a few blocks behind, too
    equal(c.value(4, "SELECT is_nullable::text FROM information_schema.columns WHERE table_name = 'n' AND column_name = 'v'"), "YES", "the definition")
    equal(c.run(4, OUTCOMES), c.run(1, OUTCOMES), "all that was ever agreed")
    c.run(4, "INSERT INTO n VALUES (4, 'y')")
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree")
    c.check_equal(whole=True)


@suite.test
def where_nobody_agrees(c):
    """Two of four have lost rows, not the same ones: nobody can tell who is right, so nobody writes. Servers that begin anew compute what the
    chain says, and with one of them there is a quorum again."""
    behind(c, 3, "DELETE FROM n WHERE id = 3")
    behind(c, 4, "DELETE FROM n WHERE id = 4")
    sqlstate(lambda: c.run(1, "UPDATE n SET v = 'z' WHERE id IN (3, 4)"))
    for i in c.members():
        eventually(lambda: c.run(i, "SELECT no_quorum FROM dadbs.divergence") == [(True,)], 60, f"member {i} knows")
    equal(sqlstate(lambda: c.run(1, "INSERT INTO n VALUES (5, 'z')")), "DA006", "nobody writes")
    c.replace_member(3)
    eventually(lambda: c.run(3, STATE) == [("ready", None)], 30, "member 3 agrees with members 1 and 2")
    for i in (1, 2):
        eventually(lambda: digests(c, i).get("m3", (0, False))[1], 30, f"member {i} has heard that")
        c.run(i, "CALL dadbs.rebuild_database()")
        eventually(lambda: c.run(i, STATE) == [("ready", None)], 30, f"member {i} takes writes")
    c.run(1, "INSERT INTO n VALUES (5, 'z')")
    c.run(4, "CALL dadbs.rebuild_database()")
    c.wait_ready()
    c.settle()
    eventually(lambda: all_agree(c), 30, "all members agree")
    c.check_equal(whole=True)


if __name__ == "__main__":
    suite.main()
