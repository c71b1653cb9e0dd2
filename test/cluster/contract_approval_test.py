"""Approval: what one member alone cannot do to contracts and their tables, on four members of which three must agree.

The liar is member 4, whose sessions leave every check to the other members (dadbs.deploy_unchecked, session_replication_role): what it
orders is refused at its position, by all members alike.
"""
import psycopg2

from clients import Background, everywhere, transaction
from harness import CONFLICT, Suite, check, equal, eventually, sqlstate

suite = Suite("contract_approval", port=8400)
REFUSED = "42501"
LIAR = ("SET dadbs.deploy_unchecked = on", "SET session_replication_role = replica")
PROPOSALS = "SELECT p.id, p.state, p.approved_by, p.rejected_by, p.sqlstate, p.message, p.ended_height, p.ended_position FROM dadbs.proposals p ORDER BY 1"
GUARDS = ("SELECT c.relname, t.tgname, t.tgenabled, encode(t.tgargs, 'escape') FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
          "WHERE NOT t.tgisinternal ORDER BY 1, 2")
LIMIT = "BEGIN IF positive(NEW.amount) AND NEW.amount > 1000 THEN RAISE EXCEPTION 'too much' USING ERRCODE = 'check_violation'; END IF; {} RETURN NULL; END"


def propose(c, member, statement, *more):
    return c.run(member, f"SELECT dadbs.propose($proposal${statement}$proposal$, 'a comment'{''.join(', ' + m for m in more)})")[0][0]


def approve(c, proposal, *members):
    for member in members:
        c.settle()
        c.run(member, f"SELECT dadbs.approve_proposal({proposal})")
    c.settle()


def agree(c, statement):
    """Proposed by member 1, approved by 2 and 3: its state."""
    proposal = propose(c, 1, statement)
    approve(c, proposal, 2, 3)
    return state(c, proposal)


def state(c, proposal, member=1):
    return c.run(member, f"SELECT state, message FROM dadbs.proposals WHERE id = {proposal}")[0]


def alike(c):
    c.settle()
    for query in (PROPOSALS, GUARDS, "SELECT name, version, dropped, hash::text FROM dadbs.contract_versions ORDER BY 1, 2"):
        seen = {str(c.run(i, query)) for i in c.members()}
        equal(len(seen), 1, f"{query}: {seen}")


def last_verdict(c):
    """Of the last transaction on the chain, as every member has it."""
    c.settle()
    seen = {str(c.run(i, "SELECT verdict, sqlstate FROM dadbs_internal.transaction ORDER BY height DESC, index DESC LIMIT 1")) for i in c.members()}
    equal(len(seen), 1, "verdicts")
    return seen.pop()


@suite.test
def our_extension_stands_apart(c):
    """DROP SCHEMA public CASCADE takes no member's history with it, also where an older extension stands in it."""
    ties = ("'pg_extension'::regclass, e.oid, 0, 'pg_namespace'::regclass, 'public'::regnamespace, 0, 'n' FROM pg_extension e WHERE extname = 'dadbs'")
    for i in c.members():
        c.run(i, "SET allow_system_table_mods = on", f"INSERT INTO pg_depend SELECT {ties}")
    equal(sqlstate(lambda: c.run(4, *LIAR, "DROP SCHEMA public CASCADE")), "0A000", "an older extension")
    for i in c.members():
        c.run(i, "SET allow_system_table_mods = on", "DELETE FROM pg_depend WHERE classid = 'pg_extension'::regclass AND refobjid = 'public'::regnamespace")
    c.run(4, "CREATE TABLE gone (id int PRIMARY KEY)", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO PUBLIC")
    alike(c)


@suite.test
def given_directly(c):
    """What is guarded is refused in the session; nothing of it reaches the chain. Anything else goes on as ever."""
    c.run(1, "CREATE TABLE invoice (id int PRIMARY KEY, amount numeric)", "CREATE TABLE audit (id int PRIMARY KEY)", "CREATE TABLE free (id int PRIMARY KEY)",
          "CREATE TABLE parent (id int PRIMARY KEY)", "CREATE FUNCTION helper(n numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n > 0'",
          "CREATE FUNCTION positive(n numeric) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.helper(n); END'", "CREATE ROLE author LOGIN",
          "CREATE TABLE limits (id int PRIMARY KEY)", "CREATE VIEW allowed AS SELECT * FROM limits WHERE helper(id)", "CREATE VIEW seen AS SELECT id FROM allowed",
          "CREATE FUNCTION when_of_sum(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'", "CREATE FUNCTION step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
          "CREATE AGGREGATE highest(int) (SFUNC = step, STYPE = int, INITCOND = '0')", "CREATE DOMAIN cents AS int CHECK (VALUE >= 0)", "CREATE TABLE sum (id int PRIMARY KEY REFERENCES parent, c cents)",
          "GRANT CREATE ON SCHEMA contracts TO author")
    c.settle()
    with transaction(c, 1) as t:  # what a transaction attaches itself guards nothing before it is committed
        cursor = t.cursor()
        more = "PERFORM highest(s.id) FROM seen s WHERE s.id = NEW.id; INSERT INTO audit VALUES (NEW.id);"
        cursor.execute("SET LOCAL dadbs.deploy_unchecked = on")  # the analysis knows no aggregates of the user's
        cursor.execute("SELECT dadbs.deploy_contract('amount_limit', $$" + LIMIT.format(more) + "$$)")
        cursor.execute("SELECT dadbs.deploy_contract('nothing', 'BEGIN RETURN NULL; END')")
        cursor.execute("CREATE TRIGGER amount_limit AFTER INSERT OR UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION dadbs.contract('amount_limit')")
        cursor.execute("CREATE TRIGGER other AFTER INSERT ON sum FOR EACH ROW WHEN (when_of_sum(NEW.id)) EXECUTE FUNCTION dadbs.contract('nothing')")
        cursor.execute("ALTER TABLE invoice ADD COLUMN note text")
        t.commit()
    c.settle()
    height = c.value(1, "SELECT max(height) FROM dadbs_internal.transaction")
    for statement in ("ALTER TABLE invoice DISABLE TRIGGER amount_limit", "DROP TRIGGER amount_limit ON invoice", "DROP TABLE invoice",
                      "SELECT dadbs.deploy_contract('amount_limit', 'BEGIN RETURN NULL; END')", "SELECT dadbs.drop_contract('amount_limit')", "TRUNCATE invoice",
                      "GRANT INSERT ON invoice TO author", "ALTER TABLE audit RENAME TO audit2", "ALTER FUNCTION positive(numeric) RENAME TO negative"):
        try:
            c.run(1, statement)
            check(False, f"{statement} passed")
        except psycopg2.Error as e:
            check(e.pgcode == REFUSED and "dadbs.propose" in (e.diag.message_hint or ""), f"{statement}: {e.pgcode} {e}")
    equal(c.value(1, "SELECT max(height) FROM dadbs_internal.transaction"), height, "height")
    c.run(2, "ALTER TABLE free ADD COLUMN v int", "CREATE TABLE free2 (id int PRIMARY KEY)", "DROP TABLE free2",
          "CREATE TYPE hue AS ENUM ('red')", "COMMENT ON TABLE invoice IS 'may be said'", "INSERT INTO invoice VALUES (1, 10)", "INSERT INTO parent VALUES (1)")
    equal(sqlstate(lambda: c.run(3, "INSERT INTO invoice VALUES (2, 2000)")), "23514", "the contract")
    # What one member has for itself, by a name that a contract uses, decides nothing.
    with transaction(c, 3, "CREATE TEMP TABLE audit (h hue)", "CREATE FUNCTION pg_temp.positive(hue) RETURNS bool LANGUAGE sql AS 'SELECT true'",
                     "CREATE TEMP TABLE limits (id int)") as own:
        own.commit()
        c.run(1, "ALTER TYPE hue ADD VALUE 'blue'", "ALTER TYPE hue RENAME TO colour")
        c.settle()
    alike(c)


ESCAPES = """
DROP TRIGGER amount_limit ON invoice
ALTER TABLE invoice DISABLE TRIGGER amount_limit
ALTER TABLE invoice DISABLE TRIGGER USER
ALTER TABLE invoice ENABLE REPLICA TRIGGER amount_limit
ALTER TRIGGER amount_limit ON invoice RENAME TO z
CREATE OR REPLACE TRIGGER amount_limit AFTER INSERT ON invoice FOR EACH ROW EXECUTE FUNCTION dadbs.contract('nothing')
CREATE TRIGGER undo AFTER INSERT ON invoice FOR EACH ROW EXECUTE FUNCTION dadbs.contract('nothing')
DROP TABLE invoice
DROP TABLE audit
DROP SCHEMA public CASCADE
ALTER SCHEMA public RENAME TO private
ALTER SCHEMA public OWNER TO author
ALTER SCHEMA contracts RENAME TO others
ALTER TABLE invoice RENAME TO bill
ALTER TABLE invoice RENAME COLUMN amount TO price
ALTER TABLE invoice SET SCHEMA elsewhere
ALTER TABLE invoice OWNER TO author
ALTER TABLE invoice ALTER COLUMN amount TYPE int
ALTER TABLE invoice ADD COLUMN more int
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY
CREATE POLICY all_of_it ON invoice USING (true)
CREATE INDEX amounts ON invoice (amount)
TRUNCATE invoice
TRUNCATE invoice, audit CASCADE
GRANT ALL ON invoice TO author
REVOKE ALL ON invoice FROM dadbs_owner
GRANT SELECT ON ALL TABLES IN SCHEMA public TO author
REVOKE USAGE ON SCHEMA public FROM PUBLIC
CREATE TABLE child (id int PRIMARY KEY REFERENCES invoice ON DELETE CASCADE)
DROP TABLE parent CASCADE
CREATE OR REPLACE FUNCTION positive(n numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'
CREATE OR REPLACE FUNCTION helper(n numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'
CREATE FUNCTION positive(n numeric, m int DEFAULT 0) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'
CREATE FUNCTION elsewhere.positive(n numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'
DROP FUNCTION positive(numeric)
ALTER FUNCTION positive(numeric) RENAME TO gone
ALTER FUNCTION helper(numeric) SET search_path = elsewhere
CREATE OR REPLACE FUNCTION when_of_sum(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'
ALTER FUNCTION when_of_sum(int) RENAME TO gone
CREATE OR REPLACE FUNCTION step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'
CREATE FUNCTION id(seen) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'
CREATE VIEW elsewhere.audit AS SELECT 1 AS id
CREATE OR REPLACE VIEW seen AS SELECT id FROM allowed WHERE false
CREATE OR REPLACE VIEW allowed AS SELECT * FROM limits WHERE helper(id) AND false
DROP VIEW allowed CASCADE
ALTER INDEX invoice_pkey RENAME TO other
CREATE UNIQUE INDEX one_only ON audit ((true))
CREATE OPERATOR > (LEFTARG = numeric, RIGHTARG = int, FUNCTION = smaller)
ALTER DOMAIN cents DROP CONSTRAINT cents_check
SELECT dadbs.deploy_contract('amount_limit', 'BEGIN RETURN NULL; END')
SELECT dadbs.protect_table('invoice')
BEGIN; CREATE TABLE ok (id int); ALTER TABLE invoice DISABLE TRIGGER amount_limit; COMMIT
DO $$ BEGIN EXECUTE 'DROP TRIGGER amount_limit ON invoice'; END $$
"""


@suite.test
def h06_escapes(c):
    """What a lying member orders all the same is refused at its position, on every member alike."""
    c.run(1, "CREATE SCHEMA elsewhere", "CREATE FUNCTION elsewhere.smaller(a numeric, b int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'")
    c.settle()
    before = c.run(1, GUARDS)
    wrong = []
    for statement in ESCAPES.strip().splitlines():
        height = c.value(4, "SELECT max(height) FROM dadbs_internal.transaction")
        got = sqlstate(lambda: c.run(4, *LIAR, statement.replace("FUNCTION = smaller", "FUNCTION = elsewhere.smaller")))
        ordered = c.value(4, "SELECT max(height) FROM dadbs_internal.transaction") > height
        if got != REFUSED or not ordered:
            wrong.append(f"{statement}: {got}, ordered: {ordered}")
    equal("\n".join(wrong), "", "what passed, or was not refused at its position")
    # The role that a contract runs as cannot become another one.
    c.run(1, "SELECT dadbs.deploy_contract('authors', 'BEGIN RETURN NULL; END')", user="author")
    c.settle()
    equal(sqlstate(lambda: c.run(4, *LIAR, "DROP ROLE author")), "2BP01", "DROP ROLE")
    equal(c.run(2, GUARDS), before, "triggers")
    equal(sqlstate(lambda: c.run(4, *LIAR, "INSERT INTO invoice VALUES (3, 3000)")), "23514", "the contract still judges")
    alike(c)


@suite.test
def h06_ways_around(c):
    """What does not touch a guarded table itself: what its conditions call in turn, its partitions, schemas that change places."""
    no = "BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END"
    c.run(4, "CREATE SCHEMA impostor", "CREATE FUNCTION impostor.usable(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'")
    c.run(1, "CREATE SCHEMA tools", "CREATE FUNCTION tools.usable(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'",
          "CREATE FUNCTION innermost(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n > 0'",
          "CREATE FUNCTION condition(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.innermost(n); END'",
          "CREATE FUNCTION deep(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n > 0'",
          "CREATE FUNCTION deeper(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.deep(n); END'",
          "CREATE DOMAIN checked AS int CHECK (deeper(VALUE))", "CREATE TABLE when_it (id int PRIMARY KEY)", "CREATE TABLE asks (id int PRIMARY KEY)",
          "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
          f"SELECT dadbs.deploy_contract('never', $${no}$$)",
          "SELECT dadbs.deploy_contract('asking', $$DECLARE x checked; BEGIN x := NEW.id; IF NOT tools.usable(NEW.id) THEN RAISE EXCEPTION 'no' "
          "USING ERRCODE = 'check_violation'; END IF; RETURN NULL; END$$)",
          "CREATE TRIGGER never AFTER INSERT ON when_it FOR EACH ROW WHEN (condition(NEW.id)) EXECUTE FUNCTION dadbs.contract('never')",
          "CREATE TRIGGER asking AFTER INSERT ON asks FOR EACH ROW EXECUTE FUNCTION dadbs.contract('asking')",
          "CREATE TRIGGER never AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION dadbs.contract('never')")
    c.settle()
    c.run(1, "CREATE ROLE manager", "CREATE ROLE staff", "GRANT staff TO author", "GRANT manager TO staff", "CREATE TABLE hires (id int PRIMARY KEY)",
          "CREATE TABLE banned (id int PRIMARY KEY)", "INSERT INTO banned VALUES (5)", "ALTER TABLE banned ENABLE ROW LEVEL SECURITY",
          "CREATE POLICY managers ON banned TO manager USING (true)", "GRANT SELECT ON banned TO author")
    c.settle()
    c.run(1, "SELECT dadbs.deploy_contract('hire', $$BEGIN PERFORM 1 FROM banned b WHERE b.id = NEW.id; IF FOUND THEN RAISE EXCEPTION 'no' "
          "USING ERRCODE = 'check_violation'; END IF; RETURN NULL; END$$)", user="author")
    c.run(1, "CREATE TRIGGER hire AFTER INSERT ON hires FOR EACH ROW EXECUTE FUNCTION dadbs.contract('hire')")
    c.settle()
    passed = []
    for statement in ("REVOKE staff FROM author", "REVOKE manager FROM staff", "GRANT manager TO author", "ALTER ROLE author NOINHERIT", "ALTER ROLE staff NOINHERIT",
                      "CREATE OR REPLACE FUNCTION innermost(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false'",
                      "CREATE OR REPLACE FUNCTION deep(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'",
                      "ALTER SCHEMA tools RENAME TO old", "BEGIN; ALTER SCHEMA tools RENAME TO old; ALTER SCHEMA impostor RENAME TO tools; COMMIT",
                      "CREATE SCHEMA s GRANT ALL ON public.when_it TO author",
                      "CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (10) TO (20)",
                      "BEGIN; CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (10) TO (20); ALTER TABLE parts2 DISABLE TRIGGER never; COMMIT",
                      "CREATE SCHEMA s CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (10) TO (20)"):
        for lie in ((), LIAR):
            got = sqlstate(lambda: c.run(4, *lie, statement))
            if got != REFUSED:
                passed.append(f"{lie} {statement}: {got}")
    equal("\n".join(passed), "", "what passed")
    for table in ("when_it", "asks", "parts", "hires"):
        equal(sqlstate(lambda: c.run(4, *LIAR, f"INSERT INTO {table} VALUES (5)")), "23514", f"the contract of {table}")
    equal(agree(c, "REVOKE manager FROM staff"), ("executed", None), "agreed")
    equal(sqlstate(lambda: c.run(4, "INSERT INTO hires VALUES (5)")), None, "a contract that sees no ban")
    alike(c)


@suite.test
def agreed(c):
    """Three members: then it is executed everywhere, once, at the position of the third; an error is the proposal's own."""
    statement = "SELECT dadbs.deploy_contract('amount_limit', $$" + LIMIT.format("") + "$$)"
    proposal = propose(c, 1, statement)
    c.settle()
    equal(c.run(3, f"SELECT statement, comment, proposed_by, role, state, needed, approved_by, height IS NOT NULL FROM dadbs.proposals WHERE id = {proposal}"),
          [(statement, "a comment", "m1", "dadbs_owner", "open", 3, ["m1"], True)], "the proposal")
    equal(sqlstate(lambda: c.run(1, f"SELECT dadbs.approve_proposal({proposal})")), "55000", "a second vote of the proposer's member")
    equal(sqlstate(lambda: c.run(1, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.approve_proposal({proposal})")), "55000", "a liar's second vote")
    approve(c, proposal, 2)
    equal(sqlstate(lambda: c.run(2, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.approve_proposal({proposal})")), "55000", "two votes of one member")
    everywhere(c, "SELECT version FROM dadbs.contracts WHERE name = 'amount_limit'", [(1,)], "not yet")
    approve(c, proposal, 4)
    equal(state(c, proposal), ("executed", None), "with three")
    everywhere(c, "SELECT version FROM dadbs.contracts WHERE name = 'amount_limit'", [(2,)], "the new version")
    for lie in ((), ("SET dadbs.deploy_unchecked = on",)):
        equal(sqlstate(lambda: c.run(3, *lie, f"SELECT dadbs.approve_proposal({proposal})")), "55000", "it is over")
    equal(agree(c, "ALTER TABLE invoice ADD COLUMN second int; CREATE INDEX ON invoice (second); TRUNCATE invoice; ALTER TABLE audit ADD COLUMN at timestamptz"),
          ("executed", None), "several statements")
    everywhere(c, "SELECT count(*) FROM invoice", [(0,)], "truncated")
    failed = agree(c, "ALTER TABLE invoice DROP COLUMN second; ALTER TABLE invoice ADD COLUMN amount int")
    equal(failed[0], "failed", "an error")
    check("already exists" in failed[1], f"message {failed[1]}")
    everywhere(c, "SELECT count(second) FROM invoice", [(0,)], "nothing of it is there")
    alike(c)


@suite.test
def refused_and_expired(c):
    no = propose(c, 2, "DROP TRIGGER amount_limit ON invoice")
    c.settle()
    c.run(3, f"SELECT dadbs.reject_proposal({no}, 'never')")
    c.settle()
    equal(state(c, no)[0], "open", "one against")
    equal(sqlstate(lambda: c.run(3, *LIAR, f"SELECT dadbs.approve_proposal({no})")), "55000", "another mind")
    c.run(4, f"SELECT dadbs.reject_proposal({no}, 'no')")
    c.settle()
    everywhere(c, f"SELECT state, rejected_by FROM dadbs.proposals WHERE id = {no}", [("rejected", ["m3", "m4"])], "two against")
    gone = propose(c, 2, "DROP TRIGGER amount_limit ON invoice")
    c.settle()
    c.run(2, f"SELECT dadbs.reject_proposal({gone}, 'a mistake')")
    c.settle()
    short = propose(c, 1, "DROP TRIGGER amount_limit ON invoice", "2")
    for i in range(4):
        c.run(1, f"INSERT INTO free VALUES ({100 + i})")
    c.settle()
    everywhere(c, f"SELECT id, state FROM dadbs.proposals WHERE id IN ({gone}, {short}) ORDER BY 1", [(gone, "withdrawn"), (short, "expired")], "states")
    for proposal in (no, gone, short):
        equal([sqlstate(lambda: c.run(4, *lie, f"SELECT dadbs.approve_proposal({proposal})")) for lie in ((), LIAR)], ["55000"] * 2, "closed")
    equal(sqlstate(lambda: c.run(4, *LIAR, "SELECT dadbs.approve_proposal(999)")), "42704", "none")
    # Alone in its transaction: what else it holds would not be what is agreed.
    two = propose(c, 1, "ALTER TABLE free ADD COLUMN w int")
    c.settle()
    three = propose(c, 1, "ALTER TABLE free ADD COLUMN x int")
    c.settle()
    for more in (f"dadbs.approve_proposal({three})", "dadbs.deploy_contract('other', 'BEGIN RETURN NULL; END')"):
        equal(sqlstate(lambda: c.run(4, "SET dadbs.deploy_unchecked = on", f"SELECT dadbs.approve_proposal({two}), {more}")), "25001", "not alone")
    everywhere(c, f"SELECT DISTINCT approved_by FROM dadbs.proposals WHERE id IN ({two}, {three})", [(["m1"],)], "not counted")
    for function in ("propose('DROP TABLE free')", "approve_proposal(1)", "reject_proposal(1)", "protect_table('free')"):
        equal(sqlstate(lambda: c.run(1, f"SELECT dadbs.{function}", user="author")), REFUSED, function)
    alike(c)


@suite.test
def h06_protected(c):
    """Rows of a protected table come from the contracts that are listed: not from sessions, cascades, forged write sets, other contracts."""
    c.run(1, "CREATE TABLE owner (id int PRIMARY KEY)", "CREATE TABLE ledger (id int PRIMARY KEY, owner int REFERENCES owner ON DELETE CASCADE, n int)",
          "CREATE TABLE orders (id int PRIMARY KEY, n int)", "INSERT INTO owner VALUES (1)", "INSERT INTO ledger VALUES (1, 1, 0)",
          "SELECT dadbs.deploy_contract('book', 'BEGIN UPDATE ledger SET n = n + NEW.n WHERE id = 1; INSERT INTO ledger VALUES (NEW.id + 100, NULL, NEW.n); "
          "RETURN NULL; END')",
          "BEGIN", "SELECT dadbs.protect_table('ledger')",
          "CREATE TRIGGER book AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION dadbs.contract('book')", "COMMIT",
          "CREATE TABLE mine (id int PRIMARY KEY, n int)")
    c.settle()
    for lie in ((), LIAR):
        for statement in ("INSERT INTO ledger VALUES (2, 1, 0)", "UPDATE ledger SET n = 1000000", "DELETE FROM ledger", "DELETE FROM owner", "TRUNCATE ledger",
                          "TRUNCATE owner CASCADE", "DROP TRIGGER dadbs_protected ON ledger", "ALTER TABLE ledger DISABLE TRIGGER dadbs_protected",
                          "CREATE OR REPLACE TRIGGER dadbs_protected BEFORE INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW "
                          "EXECUTE FUNCTION dadbs.protected_table('book', 'evil')", "SELECT dadbs.deploy_contract('book', 'BEGIN RETURN NULL; END')", "SELECT dadbs.drop_contract('book')",
                          "CREATE TRIGGER book AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION dadbs.contract('book')",
                          "BEGIN; CREATE TABLE mine2 (id int PRIMARY KEY, n int); CREATE CONSTRAINT TRIGGER a AFTER INSERT ON mine2 DEFERRABLE INITIALLY "
                          "DEFERRED FOR EACH ROW EXECUTE FUNCTION dadbs.contract('book'); COMMIT",
                          "COPY ledger FROM PROGRAM 'echo 7,1,7' (FORMAT csv)"):
            got = sqlstate(lambda: c.run(4, *lie, statement))
            # A cascade that a liar does not run leaves orphans behind; a contract that triggers run cannot be dropped by anybody.
            check(got in ((REFUSED, "23503") if "owner" in statement else (REFUSED, "2BP01") if "drop_contract" in statement else (REFUSED,)), f"{lie} {statement}: {got}")
    c.run(4, "SELECT dadbs.deploy_contract('evil', 'BEGIN UPDATE ledger SET n = 1000000; RETURN NULL; END')", "CREATE TABLE bait (id int PRIMARY KEY)",
          "CREATE TRIGGER evil AFTER INSERT ON bait FOR EACH ROW EXECUTE FUNCTION dadbs.contract('evil')")
    equal(sqlstate(lambda: c.run(4, "INSERT INTO bait VALUES (1)")), REFUSED, "another contract")
    c.run(2, "INSERT INTO orders VALUES (1, 5)")
    c.settle()
    everywhere(c, "SELECT id, n FROM ledger ORDER BY 1", [(1, 5), (101, 5)], "the ledger")
    equal(agree(c, "DROP TRIGGER dadbs_protected ON ledger"), ("executed", None), "undone")
    c.run(3, "UPDATE ledger SET n = 0 WHERE id = 1")
    alike(c)


@suite.test
def statement_limit(c):
    """Of the group: no member's setting; another one from the position on at which it is agreed, also after a crash."""
    limit = "SELECT dadbs.set_contract_statement_limit({})"
    c.run(1, "SELECT dadbs.deploy_contract('spin', 'DECLARE x bigint := 0; BEGIN FOR i IN 1..p_n LOOP x := x + i; END LOOP; RETURN x; END', "
             "arguments => 'p_n int', returns => 'bigint')")
    c.settle()

    def spins(times, state, what):
        for member in c.members():
            equal(sqlstate(lambda: c.run(member, f"SELECT dadbs.call_contract('spin', {times})")), state, f"{what}, on member {member}")
    everywhere(c, "SELECT dadbs.contract_statement_limit()", [(1000000,)], "the limit")
    for lie in ((), LIAR):
        equal(sqlstate(lambda: c.run(4, *lie, limit.format(5000))), REFUSED, "one member alone")
    for number, expected in (("999", "22023"), ("1000000001", "22023"), ("'many'", "0A000"), ("NULL", "0A000")):
        equal(sqlstate(lambda: propose(c, 1, limit.format(number))), expected, number)
    spins(3000, None, "by default")
    equal(agree(c, limit.format(4000) + "; ALTER TABLE nowhere ADD COLUMN n int")[0], "failed", "with a statement that fails")
    everywhere(c, "SELECT dadbs.contract_statement_limit()", [(1000000,)], "the limit")
    equal(agree(c, limit.format(5000) + "; " + limit.format(2000)), ("executed", None), "agreed")
    everywhere(c, "SELECT dadbs.contract_statement_limit()", [(2000,)], "the limit")
    spins(1000, None, "below it")
    spins(3000, "54000", "beyond it")
    c.kill(3)
    c.start_member(3)
    c.wait_ready()
    spins(3000, "54000", "after a crash")
    everywhere(c, "SELECT DISTINCT verdict, sqlstate, statements FROM dadbs.contract_history('spin') WHERE verdict <> 'committed'", [("rejected", "54000", 2001)], "history")
    equal(agree(c, limit.format(1000000)), ("executed", None), "as it was")
    spins(3000, None, "as it was")
    alike(c)


@suite.test
def races(c):
    """Two approvals at once are both counted and one executes; a transaction that ran under the old definition loses."""
    for i in range(3):
        proposal = propose(c, 1, f"ALTER TABLE invoice ADD COLUMN race{i} int DEFAULT {i}")
        c.settle()
        votes = [Background(c.run, m, f"SELECT dadbs.approve_proposal({proposal})") for m in (2, 3, 4)]
        ends = [sqlstate(vote.result) for vote in votes]
        check(set(ends) <= {None, "55000"} and ends.count(None) >= 2, f"votes: {ends}")
        c.settle()
        everywhere(c, f"SELECT state, cardinality(approved_by) FROM dadbs.proposals WHERE id = {proposal}", [("executed", 3)], "the race")
        everywhere(c, f"SELECT count(*) FROM pg_attribute WHERE attrelid = 'invoice'::regclass AND attname = 'race{i}'", [(1,)], "once")
    proposal = propose(c, 1, "ALTER TABLE invoice DISABLE TRIGGER amount_limit")
    approve(c, proposal, 2)
    with transaction(c, 4, "INSERT INTO invoice VALUES (50, 1)") as open_one:
        approval = Background(c.run, 3, f"SELECT dadbs.approve_proposal({proposal})")
        eventually(lambda: state(c, proposal)[0] == "executed", 60, "the approval")
        check(sqlstate(open_one.commit) in (CONFLICT, "57P01", "connection lost"), "a transaction of before")
        approval.result()
    both = [Background(propose, c, m, "ALTER TABLE free ADD COLUMN z int") for m in (1, 1, 2, 3)]
    ends = [sqlstate(b.result) for b in both]
    check(set(ends) <= {None, CONFLICT} and None in ends, f"proposals at once: {ends}")
    c.settle()
    equal(agree(c, "ALTER TABLE invoice ENABLE TRIGGER amount_limit"), ("executed", None), "on again")
    alike(c)


@suite.test
def killed(c):
    """A member that is killed between the approvals, and one that has voted itself, come to the same from their journals."""
    proposal = propose(c, 3, "ALTER TABLE invoice ADD COLUMN after_kill int; DROP TRIGGER amount_limit ON invoice")
    approve(c, proposal, 4)
    c.kill(3)
    c.run(2, f"SELECT dadbs.approve_proposal({proposal})")
    c.kill(2)
    for member in (2, 3):
        c.start_member(member)
    c.wait_ready()
    c.settle()
    everywhere(c, f"SELECT state, approved_by FROM dadbs.proposals WHERE id = {proposal}", [("executed", ["m3", "m4", "m2"])], "after the crash")
    c.run(3, "INSERT INTO invoice (id, amount) VALUES (60, 60000)")
    alike(c)


if __name__ == "__main__":
    suite.main()
