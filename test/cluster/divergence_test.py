"""What members come to is compared: one that differs finds out by itself, takes no writes, and the others go on."""
import json

from harness import Suite, check, equal, error_of, eventually, sqlstate
from tamper import empty, heap_file

suite = Suite("divergence", port=9600)
STATE = "SELECT state, reason FROM dadbs.status"


def digests(c, member):
    return {node: (height, equal_) for node, height, equal_ in c.run(member, "SELECT node, height, equal FROM dadbs.state_digests")}


def all_agree(c):
    """Every member has every member's digest of one height, and they are equal."""
    heights = {c.value(i, "SELECT dadbs.applied_height()") for i in c.members()}
    seen = [digests(c, i) for i in c.members()]
    return len(heights) == 1 and all(set(d) == {f"m{k}" for k in c.members()} and set(d.values()) == {(max(heights), True)} for d in seen)


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


if __name__ == "__main__":
    suite.main()
