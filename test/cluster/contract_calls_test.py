"""Calls of contracts on four members: ordered first, executed by all alike, their result or verdict told to the caller.

After each test the harness compares the members; here besides that what the calls wrote, used and returned.
"""
import os
import threading
import time

import psycopg2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients import Background, commit_in_background, end_worker, everywhere, paused, refused, transaction
from hazards import await_hold, pid_of
from harness import CONFLICT, HELD, UNKNOWN, Suite, check, equal, error_of, eventually, sqlstate
from wire import Wire, rows, sqlstates

suite = Suite("contract_calls", port=9400, confs=HELD)
RUNS = "SELECT md5(coalesce(string_agg(r::text, chr(10) ORDER BY height, index, ordinal), '')) FROM dadbs_internal.contract_run r"
EFFECTS = "SELECT md5(coalesce(string_agg(e::text, chr(10) ORDER BY height, index, ordinal), '')) FROM dadbs_internal.contract_effect e"
NONCES = "SELECT md5(coalesce(string_agg(n::text, chr(10) ORDER BY key, nonce), '')) FROM dadbs_internal.call_nonce n"
TRANSFER = """
    DECLARE left_over numeric;
    BEGIN
      UPDATE account SET balance = balance - amount WHERE id = source RETURNING balance INTO STRICT left_over;
      UPDATE account SET balance = balance + amount WHERE id = target;
      IF left_over < 0 THEN
        RAISE EXCEPTION '% has not enough', source USING ERRCODE = 'P0007', DETAIL = 'short of ' || -left_over, HINT = 'pay in';
      END IF;
      RETURN left_over;
    END"""


def deploy(c, name, body, arguments="", returns="void", language="plpgsql", user="postgres", settle=True):
    """Without the analysis, which has its own tests."""
    unchecked = ["SET dadbs.deploy_unchecked = on"] if user == "postgres" else []
    c.run(1, *unchecked, f"SELECT dadbs.deploy_contract('{name}', $body${body}$body$, '{language}', '{arguments}', '{returns}')", user=user)
    if settle:
        c.settle()


def call(c, member, name, *arguments, user="postgres"):
    """Arguments as SQL writes them."""
    return c.value(member, f"SELECT dadbs.call_contract({', '.join([repr(name), *map(str, arguments)])})", user=user)


def alike(c):
    c.settle()
    for query in (RUNS, EFFECTS, NONCES):
        equal(len({c.value(i, query) for i in c.members()}), 1, query)


@suite.test
def results_and_errors(c):
    c.run(1, "CREATE TABLE account (id text PRIMARY KEY, balance numeric NOT NULL)", "INSERT INTO account VALUES ('alice', 100), ('bob', 0)",
          "CREATE TYPE hue AS ENUM ('red', 'blue')", "CREATE TYPE pair AS (a int, b text)", "CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    deploy(c, "transfer", TRANSFER, "source text, target text, amount numeric", "numeric")
    equal([call(c, m, "transfer", "'alice'", "'bob'", "10.50") for m in (1, 2, 3, 4)], ["89.50", "79.00", "68.50", "58.00"], "on each member")
    equal(c.run(2, "CALL contracts.transfer('alice', 'bob', 8)")[0][0], 50, "as a procedure, with its type")
    equal(c.value(3, """SELECT dadbs.call_contracts('[["transfer", "alice", "bob", 1], ["transfer", "bob", "alice", 2.5]]')"""),
          ["49.00", "48.50"], "a batch")
    for statement in ("SELECT dadbs.call_contract('transfer', 'alice', 'bob', 1000)", "CALL contracts.transfer('alice', 'bob', 1000)",
                      """SELECT dadbs.call_contracts('[["transfer", "bob", "alice", 1], ["transfer", "alice", "bob", 1001]]')"""):
        for member in (1, 4):
            e = error_of(lambda: c.run(member, statement))
            equal((e.pgcode, e.diag.message_primary, e.diag.message_detail, e.diag.message_hint),
                  ("P0007", "alice has not enough", "short of 948.50", "pay in"), f"{statement} on member {member}")
    everywhere(c, "TABLE account ORDER BY id", [("alice", 51.5), ("bob", 48.5)], "balances")
    values = {  # body, arguments, returns, what is given, the result
        "null": ("SELECT a", "a int", "int", ["NULL"], None), "nothing": ("BEGIN END", "", "void", [], None),
        "row": ("SELECT row(a, b || '\"')::pair", "a int, b text", "pair", ["7", "'x,'"], '(7,"x,""")'),
        "doc": ("SELECT jsonb_build_object('a', a)", "a jsonb", "jsonb", ["'[1, {\"b\": null}]'::jsonb"], '{"a": [1, {"b": null}]}'),
        "list": ("SELECT a || 9", "a int[]", "int[]", ["ARRAY[1, NULL]"], "{1,NULL,9}"), "colour": ("SELECT a", "a hue", "hue", ["'blue'"], "blue"),
        "more": ("SELECT (a + 1)::positive", "a positive", "positive", ["1"], "2"),
        "moment": ("SELECT a + interval '1 hour'", "a timestamptz", "timestamptz", ["timestamptz '2026-01-31 23:30+05:30'"], "2026-01-31 19:00:00+00"),
        "share": ("SELECT a / 3", "a float8", "float8", ["1"], "0.3333333333333333"),
        "who": ("SELECT dadbs.origin_node() || ' ' || dadbs.session_user_name() || coalesce(dadbs.caller_key()::text, '-')", "", "text", [], "m4 postgres-"),
    }
    for name, (body, arguments, returns, given, expected) in values.items():
        deploy(c, name, body, arguments, returns, "plpgsql" if body.startswith("BEGIN") else "sql", settle=False)
    c.settle()
    for name, (_, _, _, given, expected) in values.items():
        equal(call(c, 4, name, *given), expected, name)
    check(c.run(4, "SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'ISO, DMY'", "CALL contracts.moment('31.1.2026 23:30')")[0][0].isoformat()
          == "2026-02-01T00:30:00+05:30", "arguments and results by the session's settings")
    everywhere(c, "SELECT verdict, called, runs, statements, result FROM dadbs.contract_history('row')", [("committed", True, 1, 2, '(7,"x,""")')], "history")
    everywhere(c, "SELECT verdict, sqlstate, count(*), count(result) FROM dadbs.contract_history('transfer') GROUP BY 1, 2 ORDER BY 1",
               [("committed", None, 7, 7), ("rejected", "P0007", 8, 0)], "history of transfers")
    everywhere(c, "SELECT statement FROM dadbs.changes WHERE operation = 'CALL' ORDER BY height, position, ordinal LIMIT 1", [("transfer('alice', 'bob', '10.50')",)], "the call on the chain")
    everywhere(c, "SELECT contract, relation, operation, count(*) FROM dadbs.contract_changes GROUP BY 1, 2, 3", [("transfer", "public.account", "UPDATE", 14)], "effects")
    for state, name, given in (("42883", "transfer", ["'alice'"]), ("42883", "transfer", ["'alice'", "'bob'", "now()"]), ("42704", "nobody", []),
                               ("22P02", "transfer", ["'alice'", "'bob'", "'x'"]), ("23514", "more", ["0"]), ("22P02", "colour", ["'pink'"])):
        equal(sqlstate(lambda: call(c, 2, name, *given)), state, f"{name} {given}")
    deploy(c, "long", "SELECT repeat('x', n)", "n int", "text", "sql")
    equal(len(call(c, 3, "long", 65536)), 65536, "a long result")
    equal(sqlstate(lambda: call(c, 3, "long", 65537)), "54000", "a result that is too long")
    deploy(c, "endless", "BEGIN LOOP PERFORM 1; END LOOP; END")
    equal(sqlstate(lambda: call(c, 2, "endless")), "54000", "out of budget")
    alike(c)


@suite.test
def stands_alone(c):
    """In a transaction, a pipeline, another statement, a function: 25001. By the extended protocol it works as by the simple one."""
    one = "SELECT dadbs.call_contract('transfer', 'alice', 'bob', 1)"
    c.run(1, "CREATE FUNCTION calls() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN dadbs.call_contract('transfer', 'alice', 'bob', 1); END $$",
          "CREATE PROCEDURE calls_too() LANGUAGE plpgsql AS 'DECLARE r numeric; BEGIN CALL contracts.transfer(''alice'', ''bob'', 1, r); END'")
    c.settle()
    owner = "SET ROLE dadbs_owner"
    before = c.run(1, "TABLE account ORDER BY id")
    for statements in (["BEGIN", one], ["BEGIN", "CALL contracts.transfer('alice', 'bob', 1)"], ["BEGIN", "SAVEPOINT s", one],
                       [one + "; SELECT 1"], ["SELECT 1; " + one], [one + ", 1"], [one + "::numeric"], [one + " FROM account"], [one + " WHERE random() < 2"],
                       ["SELECT dadbs.call_contract('transfer', 'alice', (SELECT id FROM account LIMIT 1), 1)"], ["EXPLAIN ANALYZE " + one],
                       ["PREPARE p AS " + one, "EXECUTE p"], [owner, "SELECT calls()"], [owner, "CALL calls_too()"], ["DO $$ BEGIN PERFORM dadbs.call_contract('transfer', 'alice', 'bob', 1); END $$"],
                       ["CREATE TEMP TABLE t25 AS " + one], ["BEGIN", "DECLARE k CURSOR WITH HOLD FOR " + one, "COMMIT"],
                       ["SELECT 1 WHERE (" + one + ") IS NULL"]):
        refused(c, "25001", *statements, member=2)
    equal(sqlstate(lambda: c.run(3, "SET default_transaction_read_only = on", one)), "25006", "read only")
    equal(c.run(1, "TABLE account ORDER BY id"), before, "balances")
    with Wire(port=c.port + 1) as wire:
        wire.parse("SELECT * FROM dadbs.call_contract('transfer', 'alice', 'bob', $1) AS rest", types=(1700,)).bind(params=["1"]).describe_portal().execute().sync()
        answer = wire.until("Z", 30)
        equal((rows(answer), sqlstates(answer)), ([(b"50.50",)], []), "with a parameter")
        wire.parse("CALL contracts.transfer($1, $2, $3)").bind(params=["bob", "alice", "1"]).describe_portal().execute().sync()
        answer = wire.until("Z", 30)
        equal((rows(answer), sqlstates(answer)), ([(b"48.50",)], []), "as a procedure with parameters")
        wire.statement("SELECT 1").statement(one).sync()
        equal(sqlstates(wire.until("Z", 30)), ["25001"], "the second of a pipeline")
        wire.statement(one).statement("SELECT dadbs.call_contract('transfer', 'bob', 'alice', 1)").sync()
        equal(sqlstates(wire.until("Z", 30)), [], "each of a pipeline of calls is a transaction of its own")
    everywhere(c, "TABLE account ORDER BY id", before, "balances")
    alike(c)


@suite.test
def who_may_call(c):
    """EXECUTE on the procedure decides, at the position."""
    c.run(1, "CREATE ROLE carl LOGIN", "CREATE ROLE dora LOGIN", "GRANT CREATE ON SCHEMA contracts TO dora", "CREATE TABLE safe (id int PRIMARY KEY)")
    c.settle()
    c.run(2, "CREATE ROLE only_here LOGIN")
    for statement in ("SELECT dadbs.call_contract('transfer', 'alice', 'bob', 1)", "CALL contracts.transfer('alice', 'bob', 1)"):
        refused(c, "42501", statement, member=3, user="carl")
        refused(c, "42501", statement, member=2, user="only_here")
    c.run(2, "GRANT EXECUTE ON PROCEDURE contracts.transfer TO carl")
    c.settle()
    equal(c.value(1, """SELECT dadbs.call_contracts('[["transfer", "alice", "bob", 1], ["transfer", "bob", "alice", 1]]')""", user="carl"), ["50.50", "48.50"], "a batch")
    check(len(c.value(4, "SELECT dadbs.call_message('transfer', 'n', 'alice', 'bob', 1)", user="carl")) > 0, "what he would sign")
    equal(call(c, 3, "transfer", "'alice'", "'bob'", "0.5", user="carl"), "51.00", "with EXECUTE")
    deploy(c, "transfer", TRANSFER.replace("pay in", "work"), "source text, target text, amount numeric", "numeric")  # keeps what was granted
    equal(c.run(4, "CALL contracts.transfer('bob', 'alice', 0.5)", user="carl")[0][0], 48.5, "of a new version")
    with paused(c, 3):  # which still thinks that he may
        c.run(1, "REVOKE EXECUTE ON PROCEDURE contracts.transfer FROM carl")
        late = Background(lambda: call(c, 3, "transfer", "'alice'", "'bob'", "1", user="carl"))
        time.sleep(0.3)
        check(late.waits(), "nothing is decided while apply stands still")
    equal(error_of(late.result).pgcode, "42501", "revoked before its position")
    # The contract's rights are its owner's.
    c.run(1, "GRANT INSERT ON safe TO dora")
    deploy(c, "of_dora", "BEGIN INSERT INTO safe VALUES (1); END", user="dora")
    c.run(1, "REVOKE INSERT ON safe FROM dora")
    refused(c, "42501", "CALL contracts.of_dora()", member=4, user="dora")
    refused(c, "42501", "CALL contracts.of_dora()", member=4, user="carl")
    c.run(1, "GRANT INSERT ON safe TO dora", "GRANT EXECUTE ON PROCEDURE contracts.of_dora TO carl")
    c.settle()
    c.run(4, "CALL contracts.of_dora()", user="carl")
    for statement in ("ALTER PROCEDURE contracts.of_dora() RENAME TO mine", "DROP PROCEDURE contracts.of_dora()", "CREATE TABLE contracts.t (id int PRIMARY KEY)",
                      "ALTER PROCEDURE contracts.of_dora() SECURITY DEFINER", "CREATE OR REPLACE PROCEDURE contracts.of_dora() LANGUAGE sql AS 'SELECT 1'",
                      "CREATE PROCEDURE contracts.more() LANGUAGE sql AS 'SELECT 1'", "ALTER PROCEDURE calls_too() SET SCHEMA contracts"):
        refused(c, "0A000", statement, member=2)
        refused(c, "0A000", "BEGIN", statement, member=2)
    everywhere(c, "SELECT id FROM safe", [(1,)], "what the owner may write")
    alike(c)


@suite.test
def grants_of_one_member(c):
    """EXECUTE for a predefined role is granted on one member only, where the caller owns the database: the position does not count it."""
    c.run(1, "CREATE ROLE emil LOGIN")
    deploy(c, "of_owner", "SELECT 1", "", "int", "sql")
    owner = c.value(1, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
    c.run(1, "GRANT EXECUTE ON PROCEDURE contracts.of_owner TO pg_database_owner", "ALTER DATABASE shared OWNER TO emil")
    refused(c, "42501", "SELECT dadbs.call_contract('of_owner')", member=1, user="emil")
    everywhere(c, "SELECT verdict, sqlstate FROM dadbs.contract_history('of_owner')", [], "nothing ran")
    c.run(1, f"ALTER DATABASE shared OWNER TO {owner}")
    alike(c)


@suite.test
def against_ordinary_transactions(c):
    """Who wrote a row that a call wrote after its base loses; a call never does, whoever holds the row."""
    c.run(1, "INSERT INTO account VALUES ('hot', 1000), ('sink', 0)")
    deploy(c, "spend", "UPDATE account SET balance = balance - 1 WHERE id = 'hot' RETURNING balance", "", "numeric", "sql")
    update = "UPDATE account SET balance = balance + 100 WHERE id = 'hot'"
    with transaction(c, 2, update) as other:
        with paused(c, 2):  # its base is older than the call, which its member has not seen
            equal(call(c, 1, "spend"), "999", "the call")
            commit = commit_in_background(other)
            await_hold(c, 2, pid_of(other))
        equal(commit.result(), CONFLICT, "written on another member before the call was seen there")
    with transaction(c, 3, update) as holder:  # holds the lock on the row where the call comes from
        equal(call(c, 3, "spend"), "998", "a call from the member where the row is locked")
        check(sqlstate(holder.commit) in (CONFLICT, "57P01", "connection lost"), "who held it")
    with transaction(c, 4, update) as holder:
        equal(call(c, 1, "spend"), "997", "a call from elsewhere")
        c.settle()
        check(sqlstate(holder.commit) in (CONFLICT, "57P01", "connection lost"), "who held it")
    c.run(2, update)
    equal(call(c, 2, "spend"), "1096", "after an ordinary update")
    everywhere(c, "SELECT balance FROM account WHERE id = 'hot'", [(1096,)], "the row")
    alike(c)


@suite.test
def between_submission_and_position(c):
    """What stands at the position counts: a call that has been handed over, and a contract that changes before it is ordered."""
    versions = [("replaced", "SELECT a + 1", "a int", "SELECT a + 2", "a int", "3"), ("retyped", "SELECT a", "a int", "SELECT 5", "a bigint", "42883"),
                ("dropped", "SELECT a", "a int", None, None, "42704"), ("other_result", "SELECT a", "a int", "SELECT a / 4.0", "a int", None)]
    for name, body, arguments, _, _, _ in versions:
        deploy(c, name, body, arguments, "int", "sql", settle=False)
    c.settle()
    outcomes = {}
    with paused(c, 2, "consensus"):
        waiting = {name: Background(lambda name=name: call(c, 2, name, "1")) for name, *_ in versions}
        eventually(lambda: c.value(2, "SELECT count(*) FROM dadbs.stat_activity WHERE state LIKE 'ordering%'") == len(versions), 20, "calls that are handed over")
        for name, _, _, body, arguments, _ in versions:
            c.run(1, f"SELECT dadbs.deploy_contract('{name}', '{body}', 'sql', '{arguments}', '{'numeric' if name == 'other_result' else 'bigint' if arguments == 'a bigint' else 'int'}')"
                  if body else f"SELECT dadbs.drop_contract('{name}')")
    for name, background in waiting.items():
        try:
            outcomes[name] = background.result()
        except psycopg2.Error as e:
            outcomes[name] = e.pgcode
    equal(outcomes, {"replaced": "3", "retyped": "42883", "dropped": "42704", "other_result": "0.25000000000000000000"}, "outcomes")
    alike(c)


@suite.test
def arguments_hold_no_lock(c):
    """A session that waits for its position cannot let go of a lock, and a position before it may need it: refused before the hand-over."""
    c.run(1, "CREATE ROLE reader LOGIN", "CREATE TABLE seen (id int PRIMARY KEY)", "GRANT SELECT, UPDATE ON seen TO reader", "INSERT INTO seen VALUES (1)",
          "CREATE FUNCTION looks() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN count(*) FROM seen; END'",
          "CREATE FUNCTION locks() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN id FROM seen FOR UPDATE; END'",
          "CREATE FUNCTION locks_all() RETURNS int LANGUAGE plpgsql AS 'BEGIN LOCK TABLE seen IN EXCLUSIVE MODE; RETURN 1; END'")
    deploy(c, "given", "SELECT a", "a int", "int", "sql")
    c.run(1, "GRANT EXECUTE ON PROCEDURE contracts.given TO reader")
    c.settle()
    for argument in ("looks()", "locks()", "locks_all()"):
        for statement in ("SELECT dadbs.call_contract('given', {})", "SELECT * FROM dadbs.call_contract('given', {})", "CALL contracts.given({})"):
            refused(c, "25001", statement.format(argument), member=2, user="reader")
    advisory = "SELECT pg_advisory_lock(5)"  # is in nobody's way
    equal(c.run(2, advisory, "SELECT dadbs.call_contract('given', 3)", user="reader"), [("3",)], "with an advisory lock")
    alike(c)


@suite.test
def committed_with_a_result_of_another_type(c):
    """A new version returns another type: the procedure that the session calls is gone by then, and the client is not told that the call failed."""
    deploy(c, "quarter", "SELECT a", "a int", "int", "sql")
    with paused(c, 2, "consensus"):
        late = Background(lambda: c.run(2, "CALL contracts.quarter(7)"))
        eventually(lambda: c.value(2, "SELECT count(*) FROM dadbs.stat_activity WHERE state LIKE 'ordering%'") == 1, 20, "a call that is handed over")
        c.run(1, "SELECT dadbs.deploy_contract('quarter', 'SELECT a / 4.0', 'sql', 'a int', 'numeric')")
    e = error_of(late.result)
    equal((e.pgcode, e.diag.message_primary), (UNKNOWN, "the call is committed, but its result cannot be given"), "what the caller is told")
    everywhere(c, "SELECT verdict, result FROM dadbs.contract_history('quarter')", [("committed", "1.7500000000000000")], "what was done")
    alike(c)


@suite.test
def results_that_mean_something_on_one_member(c):
    """RETURN makes of a text what the contract declares, without a plan that could be asked: 'pg_toast.pg_toast_16616' is there on one member only."""
    for kind in ("regclass", "regclass[]", "oid"):
        name = "shows_" + kind.rstrip("[]") + str(len(kind))
        deploy(c, name, "BEGIN RETURN what; END", "what text", kind)
        equal(sqlstate(lambda: call(c, 3, name, "'{}'" if kind.endswith("]") else "'1259'")), "0A000", kind)
    deploy(c, "ignores", "SELECT 1", "what regclass", "int", "sql")
    equal(sqlstate(lambda: call(c, 3, "ignores", "'pg_class'")), "0A000", "an argument that nobody looks at")
    alike(c)


@suite.test
def lying_values(c):
    """A member whose sessions write another text than the value: all members refuse it alike, and say why."""
    own = "UPDATE pg_type SET typoutput = '{}'::regproc WHERE typname = 'hue'"
    c.run(4, own.format("int4out"))  # the label's number here
    e = error_of(lambda: call(c, 4, "colour", "'blue'"))
    equal((e.pgcode, e.diag.message_primary.split(":")[0]), ("22P02", "invalid input value for enum public.hue"), "a number for a label")
    c.run(4, own.format("pg_catalog.enum_out"))
    everywhere(c, "SELECT verdict, sqlstate FROM dadbs.transactions WHERE origin = 'm4' ORDER BY height DESC, position DESC LIMIT 1", [("rejected", "22P02")], "verdicts")
    equal(call(c, 4, "colour", "'blue'"), "blue", "an honest value")
    alike(c)


@suite.test
def h45_hot_row(c):
    """32 clients on four members take from one account: all succeed as far as the balance lasts; none is told to retry."""
    clients, each, balance = 32, 12, 350
    c.run(1, "UPDATE account SET balance = CASE id WHEN 'hot' THEN %d ELSE 0 END WHERE id IN ('hot', 'sink')" % balance)
    c.settle()
    states, lock, start = [], threading.Lock(), threading.Barrier(clients + 1)

    def client(k):
        connection = c.connect(k % 4 + 1)
        with connection.cursor() as cursor:
            start.wait()
            for _ in range(each):
                state = sqlstate(lambda: cursor.execute("SELECT dadbs.call_contract('transfer', 'hot', 'sink', 1)"))
                with lock:
                    states.append(state)
        connection.close()
    running = [Background(client, k) for k in range(clients)]
    start.wait()
    began = time.monotonic()
    for background in running:
        background.result(120, "a client of the hot row")
    seconds = time.monotonic() - began
    print(f"# {clients * each} calls on one row by {clients} clients on four members: {clients * each / seconds:.0f} a second", flush=True)
    equal((states.count(None), states.count("P0007"), len(states)), (balance, clients * each - balance, clients * each), f"outcomes: {set(states)}")
    everywhere(c, "SELECT id, balance FROM account WHERE id IN ('hot', 'sink') ORDER BY id", [("hot", 0), ("sink", balance)], "money")
    alike(c)


@suite.test
def h45_hot_row_by_rows(c):
    """A contract that rows run, on a hot row: its writers may be told to retry (40001), and nothing else; all get through, each once."""
    c.run(1, "CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO hot VALUES (1, 0)", "CREATE TABLE steps (n int PRIMARY KEY)")
    deploy(c, "step_by_step", "BEGIN IF NEW.n <> OLD.n + 1 THEN RAISE 'not a step'; END IF; INSERT INTO steps VALUES (NEW.n); RETURN NULL; END", returns="trigger")
    c.run(1, "CREATE TRIGGER step_by_step AFTER UPDATE ON hot FOR EACH ROW EXECUTE FUNCTION dadbs.contract('step_by_step')")
    c.settle()
    clients, each, until = 8, 3, time.monotonic() + 90

    def client(k):
        refusals = 0
        for _ in range(each):
            while (state := sqlstate(lambda: c.run(k % 4 + 1, "UPDATE hot SET n = n + 1 WHERE id = 1"))) is not None:
                check(state == CONFLICT and time.monotonic() < until, f"client {k}: {state} after {refusals} refusals")
                refusals += 1
        return refusals
    running = [Background(client, k) for k in range(clients)]
    refusals = [background.result(120, "a client of the hot row") for background in running]
    print(f"# {clients * each} updates of one row by {clients} clients, {sum(refusals)} times told to retry", flush=True)
    everywhere(c, "SELECT n, (SELECT count(*) FROM steps) FROM hot", [(clients * each, clients * each)], "each once")
    alike(c)


@suite.test
def signed(c):
    """Ed25519 over name, arguments, cluster and nonce, checked by every member; a second time it is refused."""
    deploy(c, "release", "BEGIN IF dadbs.caller_key() IS NULL THEN RAISE 'not signed'; END IF; RETURN encode(dadbs.caller_key(), 'hex') || ' ' || what; END", "what text, n int", "text")
    secret = Ed25519PrivateKey.generate()
    key = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def by_key(member, nonce, what, n, signature=None, whose=key):
        if signature is None:
            signature = secret.sign(bytes(c.value(member, f"SELECT dadbs.call_message('release', '{nonce}', '{what}', {n})")))
        return signature, c.value(member, f"SELECT dadbs.call_contract_signed('release', '\\x{whose.hex()}', '{nonce}', '\\x{signature.hex()}', '{what}', {n})")
    signature, result = by_key(1, "n1", "goods", 1)
    equal(result, key.hex() + " goods", "the caller")
    c.settle()
    for member, arguments in ((1, ("n1", "goods", 1, signature)), (3, ("n1", "goods", 1, signature)), (2, ("n2", "goods", 1, signature)),
                              (2, ("n1", "money", 1, signature)), (2, ("n1", "goods", 2, signature)), (4, ("n3", "goods", 1, bytes(64))),
                              (4, ("n1", "goods", 1, signature, Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))),
                              (4, ("n4", "goods", 1, None, bytes(32)))):
        equal(sqlstate(lambda: by_key(member, *arguments)), "28000", f"{arguments[:3]} on member {member}")
    by_key(2, "n2", "goods", 1)
    equal(sqlstate(lambda: call(c, 2, "release", "'goods'", "1")), "P0001", "without a signature")
    everywhere(c, "SELECT count(*) FROM dadbs_internal.call_nonce", [(2,)], "nonces")
    alike(c)


@suite.test
def killed_in_the_middle(c):
    """Members are killed while all call: the same verdicts by replay, and each caller knows, or is told how to find out."""
    c.run(1, "CREATE TABLE done (id text PRIMARY KEY)")
    deploy(c, "once", "BEGIN IF what LIKE '%7' THEN RAISE 'no sevens'; END IF; INSERT INTO done VALUES (what); RETURN what; END", "what text", "text")
    outcomes, stop = {}, threading.Event()

    def client(member, k):
        for i in range(10000):
            if stop.is_set():
                return
            what = f"{member}.{k}.{i}"
            try:
                outcomes[what] = call(c, member, "once", repr(what))
            except psycopg2.Error as e:
                outcomes[what] = e.pgcode or "connection lost"
                time.sleep(0.02)
    running = [Background(client, member, k) for member in c.members() for k in range(2)]
    time.sleep(0.5)
    end_worker(c, 2, "apply")
    time.sleep(0.5)
    c.kill(3)
    c.start_member(3)
    time.sleep(0.5)
    c.kill(4)
    c.start_member(4)
    c.wait_ready()

    def enough():
        done = [what for what, outcome in list(outcomes.items()) if outcome == what]
        return len(done) > 20 and "P0001" in outcomes.values() and all(any(w.startswith(f"{m}.") for w in done) for m in c.members())
    eventually(enough, 60, "calls by all members, some of them refused")
    stop.set()
    for background in running:
        background.result(60, "a caller")
    c.settle(60)
    done = {what for (what,) in c.run(1, "SELECT id FROM done")}
    for what, outcome in outcomes.items():
        if outcome == what:
            check(what in done, f"{what} was told as done and is not")
        elif outcome == "P0001":
            check(what.endswith("7") and what not in done, f"{what}: {outcome}")
        elif what in done:
            check(outcome in (UNKNOWN, "connection lost"), f"{what} is done, and was told {outcome}")
    check(len(done) > 20 and all(any(w.startswith(f"{m}.") for w in done) for m in c.members()), f"only {len(done)} calls were done")
    check("P0001" in outcomes.values(), "no call was refused")
    alike(c)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    suite.main()
