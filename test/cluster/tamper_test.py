"""Damage behind the extension's back, on one member of four while clients write on the others: what finds it, after how long, what repairs it.

Prints the table of docs/operations.md. What is found by a call is timed by the call; what is found without one, from the start of the server on.
"""
import hashlib
import os
import shutil
import struct
import subprocess
import time

from harness import Suite, Workers, check, equal, error_of, eventually, sqlstate
from tamper import heap_file, single

suite = Suite("tamper", port=9860)
VICTIM, OTHER = 3, 1
TABLE = []  # what was done, found by, after seconds, repaired by
TABLES = "SELECT table_name, problem, key::text FROM dadbs.verify_tables() ORDER BY 1, 2, 3"
DEFINITIONS = "SELECT object, problem FROM dadbs.verify_definitions() ORDER BY 1, 2"
FAILING = "SELECT state FROM dadbs.health WHERE fault = 'journal'"
REBUILD, REBUILT = "CALL dadbs.rebuild_database()", "rebuild_database(), from another member"
CHAIN = "SELECT height, problem FROM dadbs.verify_chain() ORDER BY 1, 2"


class Writers:
    """Clients of the members that nothing is done to."""

    def __init__(self, c):
        self.workers, self.done = Workers(), 0
        for member in c.members():
            if member != VICTIM:
                self.workers.start(self.write, c, member)

    def write(self, stop, c, member):
        connection = c.connect(member)
        with connection.cursor() as cursor:
            while not stop.is_set():
                state = sqlstate(lambda: cursor.execute("INSERT INTO journal_of_clients (member) VALUES (%s)", (member,)))
                check(state in (None, "40001"), f"a client of member {member}: {state}")
                self.done += 1
                stop.wait(0.1)
        connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workers.stop.set()
        for thread in self.workers.threads:
            thread.join(30)

    def go_on(self):
        before = self.done
        eventually(lambda: self.done > before + 5, 30, "the others' clients go on")


def timed(action):
    began = time.monotonic()
    result = action()
    return result, time.monotonic() - began


def note(done, found, after, repaired):
    shown = "-" if after is None else f"{after:.1f} s" if after >= 1 else f"{after * 1000:.0f} ms"
    TABLE.append((done, found, shown, repaired))


def data(c):
    return os.path.join(c.dir, f"m{VICTIM}")


def sound(c):
    for query in (TABLES, DEFINITIONS, CHAIN):
        equal(c.run(VICTIM, query), [], query)


def all_equal(c, writers):
    writers.go_on()
    writers.workers.join()
    sound(c)
    c.check_equal()


def prepare(c):
    c.run(OTHER, "CREATE TABLE journal_of_clients (id bigserial PRIMARY KEY, member int)",
          "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v || ''!''; RETURN NEW; END'",
          "CREATE TABLE account (id int PRIMARY KEY, n int UNIQUE, v text, CONSTRAINT positive CHECK (n > 0))", "CREATE TABLE pages (id int PRIMARY KEY, v text)",
          "CREATE TRIGGER stamp BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION stamp()", "CREATE TABLE stamped (id int PRIMARY KEY, v text)",
          "CREATE TRIGGER stamp BEFORE UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamp()",
          "CREATE FUNCTION rate() RETURNS numeric LANGUAGE sql AS 'SELECT 0.05'",
          "INSERT INTO account SELECT g, g, 'v' FROM generate_series(1, 3000) g", "INSERT INTO pages SELECT g, repeat('p', 200) FROM generate_series(1, 2000) g")
    for member in c.members():
        c.run(member, "INSERT INTO journal_of_clients (member) SELECT 0 FROM generate_series(1, 20)")
    c.settle()


def is_noted(c):
    """How far the sequence of the clients' table had come."""
    c.run(VICTIM, f"INSERT INTO journal_of_clients (member) VALUES ({VICTIM})")
    return c.value(VICTIM, "SELECT count(*) = 1 FROM dadbs_internal.sequence_mark WHERE sequence = 'journal_of_clients_id_seq'::regclass AND next_value > 70")


@suite.test
def rows_pages_indexes_and_definitions(c):
    prepare(c)
    with Writers(c) as writers:
        eventually(lambda: is_noted(c), 30, "the sequence")
        path = heap_file(c, VICTIM, "pages")
        c.stop_member(VICTIM)
        shutil.copytree(data(c), os.path.join(c.base, "backup"))  # for the next test
        with open(path, "r+b") as f:
            f.seek(8192)
            f.write(bytes(8192))
        single(c, VICTIM, "SET session_replication_role = replica", "UPDATE account SET v = 'forged' WHERE id = 1000", "DELETE FROM account WHERE id = 1001",
               "INSERT INTO account VALUES (9000, 9000, 'smuggled')", "UPDATE pg_index SET indisready = false WHERE indexrelid = 'account_n_key'::regclass")
        single(c, VICTIM, "SET session_replication_role = replica", "UPDATE account SET v = v WHERE id = 77", "UPDATE pg_index SET indisready = true WHERE indexrelid = 'account_n_key'::regclass")
        single(c, VICTIM, "DROP TRIGGER stamp ON account", "ALTER TABLE stamped DISABLE TRIGGER stamp", "ALTER TABLE account DROP CONSTRAINT positive",
               "CREATE OR REPLACE FUNCTION rate() RETURNS numeric LANGUAGE sql AS 'SELECT 0.5'", "SELECT setval('journal_of_clients_id_seq', 3, false)",
               "ALTER DATABASE shared SET \"TimeZone\" = 'Pacific/Kiritimati'", "ALTER DATABASE shared SET \"DateStyle\" = 'German'")
        c.start_member(VICTIM)
        c.wait_ready()
        found, after = timed(lambda: c.run(VICTIM, TABLES))
        by = {(t, p): k for t, p, k in found if t != "public.pages"}
        for done, key, value in (("a row changed, replication off", ("public.account", "different"), '{"id": 1000}'), ("a row deleted", ("public.account", "missing"), '{"id": 1001}'),
                                 ("a row added", ("public.account", "extra"), '{"id": 9000}'), ("a unique index misses an entry", ("public.account_n_key", "index"), None)):
            check(key in by and by[key] == value, f"{done}: {found[:20]}")
            note(done, f"verify_tables(): {key[1]}", after, "rebuild_table()")
        check(len([k for t, p, k in found if (t, p) == ("public.pages", "missing")]) > 10, f"{found[:20]}")
        note("a heap page zeroed", "verify_tables(): missing", after, "rebuild_table()")
        found, after = timed(lambda: c.run(VICTIM, DEFINITIONS))
        expected = [("a trigger dropped", "stamp ON public.account", "missing"), ("a trigger disabled", "stamp ON public.stamped", "different"),
                    ("a constraint dropped", "positive ON public.account", "missing"), ("a function's body replaced", "public.rate()", "different"),
                    ("a sequence set back", "public.journal_of_clients_id_seq", "set back")]
        equal(sorted(found), sorted((o, p) for _, o, p in expected), "what verify_definitions() names")
        for done, _, problem in expected:
            note(done, f"verify_definitions(): {problem}", after, "rebuild_definitions()")
        equal(c.value(VICTIM, "SELECT dadbs.rebuild_definitions()"), 5, "definitions that were put back")
        for table in ("account", "pages"):
            c.run(VICTIM, f"SELECT dadbs.rebuild_table('{table}')")
        c.run(VICTIM, f"INSERT INTO journal_of_clients (member) VALUES ({VICTIM})", f"INSERT INTO journal_of_clients (member) VALUES ({VICTIM})")
        # Settings of the session's, the database's and the server's are not asked for what the chain holds.
        equal(c.value(VICTIM, "SHOW TimeZone"), "Pacific/Kiritimati", "the setting")
        c.run(OTHER, "CREATE TABLE times (id int PRIMARY KEY, at timestamptz DEFAULT now(), d date)", "INSERT INTO times (id, d) VALUES (1, '2026-02-03')")
        c.run(VICTIM, "SELECT dadbs.wait_for((SELECT max(height) FROM dadbs.changes WHERE relation = 'public.times'))", "INSERT INTO times VALUES (2, '2026-01-01 12:00+00', '02.03.2026')")
        note("time zone or other settings changed", "no effect: apply has its own", None, "not needed")
        c.run(VICTIM, "ALTER DATABASE shared RESET ALL")
        all_equal(c, writers)


def block_body(c, member, height):
    return bytes(c.value(member, f"SELECT body FROM dadbs_internal.block WHERE height = {height}"))


def set_row(c, table, column, height, value, more=""):
    connection = c.connect(VICTIM)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE dadbs_internal.{table} SET {column} = %s WHERE height = {height} {more}", (value,))
        equal(cursor.rowcount, 1, f"rows of {table}")
    connection.close()


def rewritten(blocks):
    """The first one's header says another time, the others are linked to the one before by its right hash (docs/chain-format.md). (hash, body, height)"""
    previous, result = None, []
    for height, body in blocks:
        body = bytearray(body)
        if previous is None:
            body[86:94] = struct.pack(">q", struct.unpack(">q", body[86:94])[0] + 1)
        else:
            body[54:86] = previous
        length = struct.unpack(">I", body[:4])[0]
        previous = hashlib.sha256(b"\x08" + body[4:4 + length]).digest()
        result.append((previous, bytes(body), height))
    return result


@suite.test
def the_history(c):
    with Writers(c) as writers:
        writers.go_on()
        height = c.value(VICTIM, "SELECT max(height) FROM dadbs_internal.transaction WHERE verdict = 1 AND origin = 1")

        body = block_body(c, VICTIM, height)
        set_row(c, "block", "body", height, body[:90] + bytes([body[90] ^ 1]) + body[91:])
        found, after = timed(lambda: c.run(VICTIM, CHAIN))
        check(found and found[0][0] == height, f"{found[:3]}")
        note("a block row of the history edited", "verify_chain()", after, REBUILT)
        c.run(VICTIM, REBUILD)
        equal(c.run(VICTIM, CHAIN), [], "after another member has given it")

        certificate = bytes(c.value(VICTIM, f"SELECT certificate FROM dadbs_internal.block WHERE height = {height}"))
        set_row(c, "block", "certificate", height, certificate[:-1] + bytes([certificate[-1] ^ 1]))
        found, after = timed(lambda: c.run(VICTIM, CHAIN))
        check(found and {h for h, _ in found} == {height}, f"{found[:3]}")
        note("a certificate edited", "verify_chain()", after, REBUILT)
        c.run(VICTIM, REBUILD)
        equal(c.run(VICTIM, CHAIN), [], "another member's is as good")

        eventually(lambda: c.value(VICTIM, f"SELECT count(*) = 4 AND min(height) >= {height} FROM dadbs.state_digests"), 60, "all have signed what they have come to there")
        index = c.value(VICTIM, f"SELECT max(index) FROM dadbs_internal.transaction WHERE height = {height} AND verdict = 1")
        set_row(c, "transaction", "verdict", height, 3, f"AND index = {index}")
        error, after = timed(lambda: error_of(lambda: c.run(VICTIM, "SELECT dadbs.rebuild_table('account')")))
        equal(error.pgcode, "XX001", str(error))
        note("a transaction row of the history edited", "rebuild_table(): not what a quorum has signed", after, REBUILT)
        c.run(VICTIM, REBUILD)
        equal(c.value(VICTIM, f"SELECT verdict FROM dadbs_internal.transaction WHERE height = {height} AND index = {index}"), 1, "the verdict")
        c.run(VICTIM, "SELECT dadbs.rebuild_table('account')")

        right = c.run(VICTIM, "SELECT height, body FROM dadbs_internal.block ORDER BY height")
        connection = c.connect(VICTIM)
        with connection.cursor() as cursor:
            update = "UPDATE dadbs_internal.block SET hash = %s, body = %s WHERE height = %s"
            cursor.executemany(update, rewritten(right))
            found, after = timed(lambda: c.run(VICTIM, CHAIN))
            check({h for h, _ in found} >= {h for h, _ in right} and "certificate" in str(found[0]), f"{found[:3]}")
            check("stored hash" not in str(found), f"its hashes are right: {found[:3]}")
            note("the whole history rewritten with right hashes", "verify_chain(): the others' signatures", after, REBUILT)
        connection.close()
        c.run(VICTIM, REBUILD)
        equal(c.run(VICTIM, CHAIN), [], "after another member has given it")
        all_equal(c, writers)


def state(c, what):
    try:
        return str(c.value(VICTIM, f"SELECT {what} FROM dadbs.status"))
    except Exception:  # noqa: BLE001 - it is starting
        return ""


@suite.test
def the_journal_and_an_old_backup(c):
    with Writers(c) as writers:
        c.stop_member(VICTIM)
        journal = os.path.join(data(c), "dadbs", "journal")
        segment = sorted(os.path.join(journal, x) for x in os.listdir(journal) if x.endswith(".seg"))[-1]
        with open(segment, "r+b") as f:
            end = len(f.read().rstrip(b"\0"))
            f.seek(64 + (end - 64) // 3)
            byte = f.read(1)[0]
            f.seek(-1, 1)
            f.write(bytes([byte ^ 0x40]))
        _, after = timed(lambda: (c.start_member(VICTIM), eventually(lambda: state(c, "state") == "halted", 60, "the member is halted")))
        check("journal segment" in state(c, "reason"), state(c, "reason"))
        equal(c.value(VICTIM, FAILING), "failing", "dadbs.health")
        note("the journal edited", "its start: halted, reason, health", after, "file rejoin: it learns again from the others")
        c.stop_member(VICTIM)
        shutil.rmtree(journal)
        rejoin = os.path.join(data(c), "dadbs", "rejoin")
        with open(rejoin, "w"):
            pass
        owner = os.stat(data(c))
        os.chown(rejoin, owner.st_uid, owner.st_gid)
        c.start_member(VICTIM)
        eventually(lambda: state(c, "can_write") == "True", 60, "it is back")
        writers.go_on()

        c.stop_member(VICTIM)
        single(c, VICTIM, "UPDATE pg_database SET datcollate = 'POSIX' WHERE datname = 'shared'")
        _, after = timed(lambda: (c.start_member(VICTIM), eventually(lambda: state(c, "state") == "halted", 60, "the member is halted")))
        check('the collation of the shared database is "POSIX"' in state(c, "reason"), state(c, "reason"))
        equal(c.value(VICTIM, FAILING), "failing", "dadbs.health")
        note("the collation of the database changed", "its start: halted, reason, health", after, "the collation that it had")
        c.stop_member(VICTIM)
        single(c, VICTIM, "UPDATE pg_database SET datcollate = 'C.UTF-8' WHERE datname = 'shared'")
        c.start_member(VICTIM)
        eventually(lambda: state(c, "can_write") == "True", 60, "it is back")
        writers.go_on()

        c.stop_member(VICTIM)
        shutil.rmtree(data(c))
        subprocess.run(["cp", "-a", os.path.join(c.base, "backup"), data(c)], check=True)
        os.chown(data(c), owner.st_uid, owner.st_gid)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", data(c)], check=True)
        before = c.log(VICTIM).count("may have forgotten what it signed")
        _, after = timed(lambda: (c.start_member(VICTIM), eventually(lambda: c.log(VICTIM).count("may have forgotten what it signed") > before, 60, "it notices")))
        note("an old backup passed off as current", "its start: the others know better; status rejoining", after, "by itself: it catches up and rejoins")
        eventually(lambda: state(c, "can_write") == "True", 60, "it is back")
        all_equal(c, writers)
        show()


def show():
    heads = ("what was done", "found by", "after", "repaired by")
    widths = [max(len(row[i]) for row in [heads, *TABLE]) for i in range(4)]
    for row in [heads, tuple("-" * w for w in widths), *TABLE]:
        print("# " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)


if __name__ == "__main__":
    suite.main()
