"""What a client reads when its transaction commits another way than it thinks: message by message what Postgres says.

Each scenario is a script of statements. It runs on a plain Postgres and on members whose COMMIT is made to end in different
ways: in the backend's own turn, by internal abort and replay because of the table, of TRUNCATE, of the session's role in
replication, or because the holder of the turn needed a lock (then the transaction is doomed while it is held). And it runs
in several protocol styles: a Query for each statement, one Query for all, extended with a Sync or a Flush after each, a
pipeline with one Sync. Every message must be the same: type, order, command tag, rows, notices and error fields, parameter
and transaction status, notifications. OIDs of user types, process ids and source lines are left out, and nothing else.
"""
import difflib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile

from clients import Background
from harness import HELD, LONG, Failure, Suite, check, equal, eventually
from wire import Wire

suite = Suite("session", port=7950, confs=HELD)
MEMBER = 2  # not the primary: its consensus worker is stopped for a while

SETUP = """
CREATE ROLE clerk;
CREATE ROLE app LOGIN;
GRANT clerk TO app;
CREATE DOMAIN filled AS int NOT NULL;
CREATE TABLE easy (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int);
CREATE TABLE forced (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v filled);
CREATE TABLE emptied (id int PRIMARY KEY);
CREATE TABLE guard (id int PRIMARY KEY, n int);
CREATE TABLE spare (id int PRIMARY KEY, v int);
CREATE TABLE named (name text PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE numbers;
INSERT INTO guard VALUES (1, 0);
INSERT INTO spare VALUES (1, 0);
INSERT INTO named VALUES ('a', 1), ('b', 2);
CREATE PROCEDURE twice(statement text) LANGUAGE plpgsql AS
    $$BEGIN EXECUTE statement; COMMIT; EXECUTE statement; RAISE NOTICE 'second'; END$$;
CREATE PROCEDURE looping(statement text, INOUT done int) LANGUAGE plpgsql AS
    $$BEGIN
      FOR i IN 1..4 LOOP
        EXECUTE statement;
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
        done := done + 1;
      END LOOP;
    END$$;
CREATE PROCEDURE over_cursor(statement text) LANGUAGE plpgsql AS
    $$DECLARE r record;
    BEGIN
      FOR r IN SELECT g FROM generate_series(1, 3) g ORDER BY g LOOP
        EXECUTE statement;
        COMMIT;
        RAISE NOTICE 'row %', r.g;
      END LOOP;
    END$$;
CREATE PROCEDURE chained(statement text) LANGUAGE plpgsql AS
    $$BEGIN
      COMMIT;
      SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
      EXECUTE statement;
      COMMIT AND CHAIN;
      RAISE NOTICE '%', current_setting('transaction_isolation');
      EXECUTE statement;
    END$$;
CREATE PROCEDURE failing(statement text) LANGUAGE plpgsql AS
    $$BEGIN EXECUTE statement; COMMIT; EXECUTE statement; RAISE EXCEPTION 'no further' USING DETAIL = 'd', HINT = 'h'; END$$;
CREATE PROCEDURE catching(statement text) LANGUAGE plpgsql AS
    $$BEGIN
      EXECUTE statement;
      BEGIN
        EXECUTE statement;
        INSERT INTO named VALUES ('a', 9);
      EXCEPTION WHEN unique_violation THEN RAISE NOTICE 'caught %', SQLERRM;
      END;
      COMMIT;
      PERFORM set_config('app.step', 'two', false);
      EXECUTE statement;
    END$$;
CREATE PROCEDURE setting(statement text) LANGUAGE plpgsql AS
    $$BEGIN
      PERFORM set_config('app.seen', 'kept', false), set_config('app.local', 'gone', true);
      EXECUTE statement;
      COMMIT;
      RAISE NOTICE '% %', current_setting('app.seen'), coalesce(current_setting('app.local', true), 'null');
    END$$;
CREATE FUNCTION with_setting() RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' AS
    $$BEGIN PERFORM set_config('app.outer', 'from inside', false); RETURN current_setting('work_mem'); END$$;
CREATE TABLE speaking (id int PRIMARY KEY);
CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN
      IF NEW.id < 0 THEN RAISE EXCEPTION 'refused at commit' USING ERRCODE = '23514', DETAIL = 'd', HINT = 'h'; END IF;
      RAISE NOTICE 'said once';
      RETURN NULL;
    END$$;
CREATE CONSTRAINT TRIGGER speaker AFTER INSERT ON speaking DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION speak();
GRANT ALL ON ALL TABLES IN SCHEMA public TO app, clerk;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app, clerk;
GRANT CREATE ON SCHEMA public TO app, clerk;
"""

# How the transaction of {write} ends on the member.
WAYS = {
    "turn": "INSERT INTO public.easy (v) VALUES (1)",
    "table": "INSERT INTO public.forced (v) VALUES (1)",
    "truncate": "TRUNCATE public.emptied",
    "doom": "WITH g AS (SELECT id FROM public.guard FOR UPDATE) UPDATE public.spare SET v = v + 1 FROM g WHERE spare.id = g.id",
}
SHOW = "SELECT name, setting, source FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'dadbs%' ORDER BY name"


class Commit(str):
    """A statement by which (or at the Sync after which) the transaction of {write} is committed."""


class Other(str):
    """A statement of a second session; its notifications are compared too."""


C, O = Commit, Other

SCENARIOS = {
    "autocommit": [C("{write}"), "SELECT count(*) FROM {table}"],
    "block": ["BEGIN", "{write}", C("COMMIT"), "COMMIT", "SELECT count(*) FROM {table}"],
    "settings": ["SET work_mem = '2MB'", "BEGIN", "SET work_mem = '5MB'", "SET LOCAL random_page_cost = 7.25",
                 "SET seq_page_cost = 0.1", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                 "SET enable_seqscan = off", "SET application_name = 'renamed'", "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE",
                 "SET DateStyle = 'German, DMY'", "SET bytea_output = 'escape'", "SET search_path = pg_catalog, public",
                 "SET app.custom = 'it''s \\ ü'", "SET LOCAL app.local = 'x'", "{write}", C("COMMIT"), SHOW,
                 "SELECT current_setting('app.custom'), current_setting('app.local', true), now()::text ~ '02:30'"],
    "set then set local": ["BEGIN", "SET work_mem = '5MB'", "SET LOCAL work_mem = '6MB'", "SET app.a = '1'", "SET LOCAL app.a = '2'",
                           "{write}", "SHOW work_mem", C("COMMIT"), "SHOW work_mem", "SHOW app.a", SHOW],
    "set local then set": ["BEGIN", "SET LOCAL work_mem = '6MB'", "SET work_mem = '5MB'", "{write}", C("COMMIT"), "SHOW work_mem", SHOW],
    "reset": ["SET work_mem = '2MB'", "SET application_name = 'before'", "SET app.a = 'x'", "BEGIN", "RESET work_mem", "RESET app.a",
              "SET application_name TO DEFAULT", "{write}", C("COMMIT"), "SHOW work_mem", "SHOW application_name", "SHOW app.a", SHOW],
    "reset all": ["SET work_mem = '2MB'", "SET DateStyle = 'SQL'", "BEGIN", "SET seq_page_cost = 3", "RESET ALL", "SET cpu_tuple_cost = 2",
                  "{write}", C("COMMIT"), "SHOW work_mem", "SHOW DateStyle", SHOW],
    "set in savepoints": ["BEGIN", "SET work_mem = '2MB'", "SAVEPOINT a", "SET work_mem = '3MB'", "SET app.x = 'lost'",
                          "ROLLBACK TO a", "SET app.y = 'kept'", "SAVEPOINT b", "SET app.z = 'released'", "SET LOCAL app.l = 'l'",
                          "RELEASE b", "SAVEPOINT c", "SET app.w = 'open'", "{write}", C("COMMIT"), "SHOW work_mem", SHOW,
                          "SELECT current_setting('app.x', true), current_setting('app.l', true)"],
    "empty and odd values": ["BEGIN", "SET app.empty = ''", "SET search_path = ''", "SET app.\"Quoted\" = E'a\\nb'", "SET local app.e2 = ''",
                             "SET extra_float_digits = -3", "SET statement_timeout = '1h'", "SET client_min_messages = notice",
                             "INSERT INTO public.named VALUES ('odd{n}', {n} + 100)", "{write}", C("COMMIT"), SHOW],
    "client encoding": ["BEGIN", "SET client_encoding = 'LATIN1'", "{write}", "SELECT 'ü'", C("COMMIT"), "SELECT 'ü', current_setting('client_encoding')",
                        "SELECT 'ü' || chr(8364)"],
    "function with settings": ["BEGIN", "SELECT with_setting()", "{write}", C("COMMIT"), "SHOW work_mem",
                               "SELECT current_setting('app.outer')"],
    "set config": ["BEGIN", "SELECT set_config('app.f', 'function', false), set_config('app.g', 'local', true)", "{write}", C("COMMIT"),
                   "SELECT current_setting('app.f'), current_setting('app.g', true)"],
    "set role": ["BEGIN", "SET ROLE clerk", "{write}", C("COMMIT"), "SELECT current_user, session_user", "RESET ROLE", "SELECT current_user"],
    "set local role": ["SET ROLE clerk", "BEGIN", "SET LOCAL ROLE app", "{write}", C("COMMIT"), "SELECT current_user", "BEGIN", "SET ROLE NONE",
                       "{write}", C("COMMIT"), "SELECT current_user", "SHOW role"],
    "listen and notify": ["BEGIN", "LISTEN own", "NOTIFY own, 'to myself'", "NOTIFY other, 'first'", "SAVEPOINT a", "NOTIFY other, 'lost'",
                          "ROLLBACK TO a", "SAVEPOINT b", "NOTIFY other, 'second'", "RELEASE b", "NOTIFY other, 'first'", "NOTIFY other",
                          "{write}", C("COMMIT"), O("SELECT 1"), "SELECT * FROM pg_listening_channels()", "NOTIFY own, 'later'"],
    "unlisten": ["LISTEN one", "LISTEN two", "BEGIN", "UNLISTEN one", "LISTEN three", "NOTIFY one, 'unheard'", "NOTIFY two, 'heard'",
                 "{write}", C("COMMIT"), "SELECT * FROM pg_listening_channels() ORDER BY 1", "BEGIN", "UNLISTEN *", "LISTEN last",
                 "NOTIFY two", "NOTIFY last", "{write}", C("COMMIT"), "SELECT * FROM pg_listening_channels()"],
    "prepared statements": ["PREPARE p0 AS SELECT 0", "BEGIN", "PREPARE p1 AS SELECT 1", "PREPARE p2 (int) AS SELECT $1", "EXECUTE p1",
                            "DEALLOCATE p0", "{write}", C("COMMIT"), "EXECUTE p1", "EXECUTE p2 (7)", "EXECUTE p0"],
    "held cursors": ["BEGIN", "DECLARE h CURSOR WITH HOLD FOR SELECT g, repeat('x', g) FROM generate_series(1, 5) g",
                     "DECLARE s SCROLL CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 9) g", "DECLARE n CURSOR FOR SELECT 1",
                     "FETCH 2 FROM h", "MOVE 4 IN s", "{write}", C("COMMIT"), "FETCH 2 FROM h", "FETCH BACKWARD 2 FROM s",
                     "SELECT name, is_holdable FROM pg_cursors WHERE name IN ('h', 's', 'n') ORDER BY 1", "FETCH ALL FROM n", "FETCH ALL FROM h", "CLOSE h"],
    "held cursor of a written table": ["BEGIN", "{write}", "DECLARE h CURSOR WITH HOLD FOR SELECT count(*) FROM {table}", C("COMMIT"),
                                       "FETCH h", "BEGIN", "{write}", "FETCH h", C("COMMIT"), "CLOSE h"],
    "advisory locks": ["BEGIN", "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_xact_lock(2)", "{write}", C("COMMIT"),
                       "SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1",
                       O("SELECT pg_try_advisory_lock(1), pg_try_advisory_lock(2), pg_advisory_unlock_all()"), "SELECT pg_advisory_unlock(1)"],
    "sequences": ["BEGIN", "SELECT nextval('numbers') > 0", "SELECT nextval('numbers') > 1", "{write}", C("COMMIT"),
                  "SELECT currval('numbers') = lastval(), nextval('numbers') > currval('numbers')",
                  "BEGIN", "SELECT nextval('numbers') - currval('numbers') >= 0", "{write}", C("COMMIT"), "SELECT currval('numbers') = lastval()"],
    "savepoints": ["BEGIN", "SAVEPOINT a", "{write}", "SAVEPOINT b", "SELECT 1/0", "ROLLBACK TO b", "RELEASE a", "{write}", C("COMMIT"),
                   "SELECT count(*) FROM {table}"],
    "aborted block": ["BEGIN", "{write}", "SELECT 1/0", "{write}", "COMMIT", "SELECT count(*) FROM {table}"],
    "and chain": ["BEGIN ISOLATION LEVEL REPEATABLE READ", "{write}", C("COMMIT AND CHAIN"), "SHOW transaction_isolation", "{write}",
                  C("COMMIT AND CHAIN"), "SELECT count(*) FROM {table}", "ROLLBACK AND NO CHAIN", "SHOW transaction_isolation"],
    "and chain read only": ["BEGIN READ WRITE", "{write}", "SET TRANSACTION READ ONLY", C("COMMIT AND CHAIN"), "SHOW transaction_read_only",
                            "{write}", "ROLLBACK"],
    "deferred constraint fails": ["BEGIN", "{write}", "UPDATE named SET u = 2 WHERE name = 'a'", "COMMIT", "SELECT u FROM named WHERE name = 'a'"],
    "deferred constraint holds": ["BEGIN", "UPDATE named SET u = 3 - u WHERE name IN ('a', 'b')", "{write}", C("COMMIT"),
                                  "SELECT * FROM named WHERE name IN ('a', 'b') ORDER BY 1"],
    "exported snapshot": ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT pg_export_snapshot() <> ''", "{write}", C("COMMIT"), "SELECT 1"],
    "returning": [C("{write} RETURNING v"), "BEGIN", "{write} RETURNING 1", "{write} RETURNING 'x' AS y", C("COMMIT")],
    "large result before commit": ["BEGIN", "{write}", "SELECT repeat('0123456789', 200) FROM generate_series(1, 300)", C("COMMIT"), "SELECT 1"],
    "large rows after commit": ["BEGIN", "{write}", C("COMMIT"), "SELECT repeat('0123456789', 200) FROM generate_series(1, 300)"],
    "error after commit": ["BEGIN", "{write}", C("COMMIT"), "SELECT 1/0", "SELECT count(*) FROM {table}"],
    "implicit block": [C("{write}"), "SELECT count(*) FROM {table}", C("{write}"), "SELECT 1"],
    "implicit block fails": ["{write}", "SELECT 1/0", "{write}"],
    "commit in an implicit block": ["{write}", C("COMMIT"), "{write}", "ROLLBACK", "SELECT count(*) FROM {table}"],
    "begin in an implicit block": ["{write}", "BEGIN", "{write}", C("COMMIT"), "SELECT count(*) FROM {table}", "SHOW transaction_isolation"],
    "do block": [C("DO $$BEGIN {write}; COMMIT; {write}; RAISE NOTICE 'in the second'; END$$"), "SELECT count(*) FROM {table}"],
    "do block that fails": [C("DO $$BEGIN {write}; COMMIT; {write}; PERFORM 1/0; END$$"), "SELECT count(*) FROM {table}"],
    "procedure twice": [C("CALL twice($w${write}$w$)"), "SELECT count(*) FROM {table}"],
    "procedure loop": [C("CALL looping($w${write}$w$, 0)"), "SELECT count(*) FROM {table}"],
    "procedure over a cursor": [C("CALL over_cursor($w${write}$w$)"), "SELECT count(*) FROM {table}"],
    "procedure and chain": [C("CALL chained($w${write}$w$)"), "SELECT count(*) FROM {table}"],
    "procedure fails": [C("CALL failing($w${write}$w$)"), "SELECT count(*) FROM {table}"],
    "procedure catches": [C("CALL catching($w${write}$w$)"), "SHOW app.step", "SELECT count(*) FROM {table}"],
    "procedure with settings": [C("CALL setting($w${write}$w$)"), "SELECT current_setting('app.seen'), current_setting('app.local', true)"],
    "procedure in a block": ["BEGIN", "CALL twice($w${write}$w$)", "COMMIT"],
    "commit of a reading block": ["BEGIN", "SET work_mem = '3MB'", "SELECT 1", "COMMIT", "SHOW work_mem", C("{write}")],
    "discard": ["SET work_mem = '3MB'", "PREPARE p AS SELECT 1", C("{write}"), "DISCARD ALL", "SHOW work_mem", "EXECUTE p", C("{write}")],
    "nothing": ["", "BEGIN", "", "{write}", C("COMMIT"), ""],
    "held cursor in files": ["SET work_mem = '64kB'", "BEGIN", "{write}",
                             "DECLARE h CURSOR WITH HOLD FOR SELECT g, repeat('y', 50) FROM generate_series(1, 20000) g", "MOVE 10 IN h",
                             C("COMMIT"), "FETCH 1 FROM h", "MOVE 15000 IN h", "FETCH 1 FROM h", "BEGIN", "{write}", C("COMMIT"), "FETCH 1 FROM h"],
    "held cursor of a temporary table": ["CREATE TEMP TABLE t AS SELECT g FROM generate_series(1, 3) g", O("SELECT 1"), "BEGIN", "SELECT count(*) FROM t",
                                         "DECLARE h CURSOR WITH HOLD FOR SELECT * FROM t ORDER BY 1", "{write}", C("COMMIT"), "FETCH ALL FROM h",
                                         "SELECT count(*) FROM t"],
    "notify in a procedure": ["LISTEN own", C("DO $$BEGIN {write}; NOTIFY own, 'one'; NOTIFY other, 'one'; COMMIT; {write}; NOTIFY own, 'two'; "
                              "BEGIN NOTIFY own, 'lost'; PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END; END$$"), O("SELECT 2")],
    "settings in subtransactions of a procedure":
        [C("DO $$BEGIN SET work_mem = '2MB'; BEGIN SET work_mem = '3MB'; SET LOCAL seq_page_cost = 9; SET app.q = 'in'; END; "
           "BEGIN SET work_mem = '4MB'; PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN SET app.r = 'caught'; END; {write}; COMMIT; "
           "SET LOCAL work_mem = '7MB'; {write}; END$$"), SHOW, "SHOW work_mem"],
    "deferred trigger speaks": ["BEGIN", "INSERT INTO speaking VALUES ({n})", "{write}", "SET CONSTRAINTS ALL DEFERRED", C("COMMIT"), "SELECT 1"],
    "trigger fails at commit": ["BEGIN", "INSERT INTO speaking VALUES (-{n})", "{write}", "COMMIT", "SELECT count(*) FROM {table}"],
    "serializable": ["BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE, NOT DEFERRABLE", "SELECT count(*) FROM {table}", "{write}",
                     C("COMMIT AND CHAIN"), "SHOW transaction_isolation", "ROLLBACK"],
    "snapshot of another": ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 1", "COMMIT", "START TRANSACTION READ WRITE", "{write}",
                            C("END"), "SHOW transaction_read_only"],
    "prepared write": ["PREPARE w AS {write}", "BEGIN", "EXECUTE w", C("COMMIT"), C("EXECUTE w"), "DEALLOCATE w"],
    "explain": ["BEGIN", "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO named VALUES ('e{n}', {n} + 1000000)", "{write}", C("COMMIT")],
    "copy to": ["BEGIN", "{write}", "COPY (SELECT g FROM generate_series(1, 3) g) TO STDOUT", C("COMMIT")],
    "time zone and format": ["BEGIN", "SET TIME ZONE -7", "SET IntervalStyle = iso_8601", "SET lc_monetary = 'C'", "SET xmloption = document",
                             "SET standard_conforming_strings = off", "{write}", C("COMMIT"),
                             "SELECT '2020-01-01 00:00+00'::timestamptz, interval '1 day 2:00', E'a\\\\b', 'c\\\\d'", SHOW],
    "read only afterwards": ["BEGIN", "SET default_transaction_read_only = on", "SET default_transaction_deferrable = on", "{write}", C("COMMIT"),
                             "{write}", "SHOW transaction_read_only", "SET default_transaction_read_only = off", C("{write}")],
}


def copied(run, way):
    """COPY FROM STDIN, by itself and in a block; with an error in its data, and given up by the client."""
    table = {"turn": "easy", "table": "forced", "truncate": "easy", "doom": "easy"}[way]
    for begin, end, data in ("", "", b"1\n2\n"), ("BEGIN; ", WAYS[way], b"3\n"), ("", "", b"x\n"), ("BEGIN; ", "", None), ("", "", b""):
        run.wire.query(f"{begin}COPY public.{table} (v) FROM STDIN")
        run.step("COPY", False, "GE")
        for line in (data or b"4\n").splitlines(keepends=True):
            run.wire.copy_data(line)
        run.wire.copy_done() if data is not None else run.wire.copy_fail("no more")
        if begin:
            run.step("data", False, "Z")
            run.wire.query(f"{end}; COMMIT") if end else run.wire.query("COMMIT")
        run.step("end", bool(end), "Z")


def portals(run, way):
    """Suspended portals, named statements, and what is left of them after COMMIT and after Sync."""
    w = run.wire
    w.parse("BEGIN").bind().execute().parse(WAYS[way], "write").bind("p", "write").execute("p")
    w.parse("SELECT g FROM generate_series(1, 5) g", "series").bind("s", "series").describe_portal("s").execute("s", 2)
    w.parse("COMMIT", "end").describe_statement("end").bind("c", "end").describe_portal("c").execute("c")
    w.execute("s", 2).sync()
    run.step("portal after COMMIT", True, "Z")
    w.bind("s", "series").execute("s", 2).execute("s", 2).flush()
    run.step("suspended", False, "s")
    run.step("suspended again", False, "s")
    w.execute("s").close_portal("s").bind("p", "write").execute("p").close_statement("write").sync()
    run.step("write in an implicit block", True, "Z")
    w.bind("p", "write").sync()
    run.step("statement is closed", False, "Z")
    w.bind("", "end").execute().sync()
    run.step("COMMIT outside of a block", False, "Z")


def two_syncs(run, way):
    """Several transactions on their way before the first answer is read."""
    w = run.wire
    for k in range(3):
        w.statement("BEGIN").statement(f"SET app.k = '{k}'").statement(WAYS[way]).statement("SELECT 1/($1::int - 1)", [k]).statement("COMMIT").sync()
    w.statement("ROLLBACK").statement(WAYS[way]).statement("SHOW app.k").sync().query("SHOW app.k")
    for k in range(5):
        run.step(f"transaction {k}", k == 0, "Z")


def parse_error_in_pipeline(run, way):
    w = run.wire
    w.statement(WAYS[way]).parse("no statement").bind().execute().statement(WAYS[way]).sync()
    run.step("error in the middle", False, "Z")
    w.statement("BEGIN").statement(WAYS[way]).statement("COMMIT").parse("no statement").bind().execute().statement(WAYS[way]).sync()
    run.step("error after COMMIT", True, "Z")
    w.statement("BEGIN").statement(WAYS[way]).statement("COMMIT").statement("BEGIN").statement(WAYS[way]).sync()
    run.step("open at Sync", True, "Z")
    w.statement("COMMIT").sync()
    run.step("and its end", False, "Z")


PROTOCOL = [copied, portals, two_syncs, parse_error_in_pipeline]

# Only superusers may say this.
SUPERUSER = {
    "session authorization": ["BEGIN", "SET SESSION AUTHORIZATION app", "{write}", C("COMMIT"), "SELECT current_user, session_user",
                              "BEGIN", "RESET SESSION AUTHORIZATION", "{write}", C("COMMIT"), "SELECT current_user, session_user"],
    "session authorization and role": ["BEGIN", "SET SESSION AUTHORIZATION app", "SET ROLE clerk", "{write}", C("COMMIT"),
                                       "SELECT current_user, session_user", "RESET ROLE", "SELECT current_user", "SHOW role",
                                       "BEGIN", "SET ROLE clerk", "SET SESSION AUTHORIZATION DEFAULT", "{write}", C("COMMIT"),
                                       "SELECT current_user, session_user", "SHOW role"],
    "local session authorization": ["BEGIN", "SET LOCAL SESSION AUTHORIZATION app", "{write}", C("COMMIT"), "SELECT current_user, session_user"],
    "role without privileges": ["SET ROLE clerk", "BEGIN", "RESET ROLE", "SET log_min_duration_statement = '1h'", "{write}", "SET ROLE clerk",
                                C("COMMIT"), "SELECT current_user, current_setting('log_min_duration_statement')"],
    "replication role": ["BEGIN", "SET session_replication_role = replica", "{write}", C("COMMIT"), "SHOW session_replication_role",
                         "BEGIN", "SET LOCAL session_replication_role = origin", "{write}", C("COMMIT"), "SHOW session_replication_role"],
}

STYLES = ("simple", "string", "synced", "flushed", "pipelined")
FIRST_USER_OID = 16384
numbers = iter(range(1, 1 << 30))


class Plain:
    """A server of the same build without the extension."""

    def __init__(self, c):
        self.port = c.port + 30
        self.base = tempfile.mkdtemp(prefix="dadbs-test-plain-")
        self.data = os.path.join(self.base, "data")
        self.bin = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True,
                                  check=True).stdout.strip()
        if os.geteuid() == 0:
            shutil.chown(self.base, "postgres")
        self.command("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.base}'\n"
                    "fsync = off\nwal_level = logical\n")
        self.command("pg_ctl", "-D", self.data, "-l", os.path.join(self.data, "log"), "-w", "-s", "start")
        with Wire(self.port, dbname="postgres") as w:
            w.simple("CREATE DATABASE shared")

    def command(self, name, *arguments):
        argv = [os.path.join(self.bin, name), *arguments]
        if os.geteuid() == 0:
            argv = ["runuser", "-u", "postgres", "--", *argv]
        subprocess.run(argv, check=True, cwd="/", stdout=subprocess.DEVNULL)

    def stop(self):
        self.command("pg_ctl", "-D", self.data, "-m", "immediate", "-s", "stop")
        shutil.rmtree(self.base, ignore_errors=True)


def normal(message):
    """Without the OIDs of what a user made."""
    letter, content = message
    if letter == "T":
        content = tuple((name, number, kind if kind < FIRST_USER_OID else "user's", *rest) for name, number, kind, *rest in content)
    return letter, content


def worker_pid(c, member, title):
    with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
        postmaster = f.readline().strip()
    found = subprocess.run(["pgrep", "-P", postmaster, "-f", title], capture_output=True, text=True, check=True).stdout.split()
    equal(len(found), 1, f"processes called {title}")
    return int(found[0])


def answered(wire):
    """All of it: there was an error before the COMMIT."""
    while select.select([wire.socket], [], [], 0)[0]:
        wire.receive()
    at = 0
    while at + 5 <= len(wire.pending):
        if wire.pending[at:at + 1] == b"Z":
            return True
        at += 1 + int.from_bytes(wire.pending[at + 1:at + 5], "big")
    return False


class Doomer:
    """Makes a held transaction lose its locks to one of another member that is ordered before it."""

    def __init__(self, c):
        self.c = c
        self.local, self.remote = c.connect(MEMBER), c.connect(1)
        self.count = 0

    def value(self, sql):
        with self.local.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def __call__(self, wire):
        consensus = worker_pid(self.c, MEMBER, "dadbs consensus")
        os.kill(consensus, signal.SIGSTOP)
        try:
            wire.send()
            held = f"SELECT EXISTS (SELECT FROM dadbs.stat_activity WHERE pid = {wire.pid} AND state LIKE 'ordering%')"
            eventually(lambda: self.value(held) or answered(wire), 20, "the transaction is handed over")
            if not answered(wire):
                self.remote.cursor().execute("UPDATE guard SET n = n + 1")
                self.count += 1
        finally:
            os.kill(consensus, signal.SIGCONT)

    def close(self):
        self.local.close()
        self.remote.close()


class Run:
    """One run of a script against one server; .log is what the server said."""

    def __init__(self, port, user, style, before_commit=None):
        self.wire, self.other = Wire(port, user=user, seconds=60), Wire(port, user=user, seconds=60)
        self.style, self.before_commit = style, before_commit
        self.log = [("greeting", [m for m in self.wire.greeting if m[0] != "K"])]
        self.other.simple("LISTEN other")
        self.wire.simple("SET dadbs.accept_snapshot_isolation = on")  # a placeholder on the plain server

    def play(self, script):
        segment = []
        for statement in [*script, None]:
            if statement is None or isinstance(statement, Other):
                getattr(self, self.style)(segment)
                segment = []
            else:
                segment.append(statement)
            if isinstance(statement, Other):
                self.hear(statement)
        self.finish()

    def finish(self):
        self.hear("SELECT 'end'")
        self.wire.close()
        self.other.close()

    def hear(self, statement):
        messages = self.other.simple(statement)
        for kind in "A", None:  # a signal may come a little earlier or later in an answer
            self.note(f"(other session) {statement}", [m for m in messages if (m[0] == "A") == (kind == "A")])

    def note(self, label, messages):
        self.log.append((label, [normal(m) for m in messages]))

    def step(self, label, commits, letters):
        if commits and self.before_commit:
            self.before_commit(self.wire)
        messages = self.wire.until(letters, 60)
        self.note(label, messages)
        return messages

    def simple(self, segment):
        for s in segment:
            self.wire.query(s)
            self.step(s, isinstance(s, Commit), "Z")

    def string(self, segment):
        self.wire.query("; ".join(segment))
        self.step("; ".join(segment), any(isinstance(s, Commit) for s in segment), "Z")

    def add(self, statement):
        self.wire.parse(statement).bind().describe_portal().execute()

    def synced(self, segment):
        for s in segment:
            self.add(s)
            self.wire.sync()
            self.step(s, isinstance(s, Commit), "Z")

    def flushed(self, segment):
        """Without Sync, notifications may come as soon as the server waits for the next message."""
        for s in [*segment, None]:
            if s is None:
                self.wire.sync()
            else:
                self.add(s)
                self.wire.flush()
            messages = self.step(s or "(Sync)", isinstance(s, Commit) and s.startswith("COMMIT"), "CEI" if s is not None else "Z")
            if messages[-1][0] == "E":
                self.wire.sync()
                self.step("(Sync)", False, "Z")
        heard = [m for _, messages in self.log for m in messages if m[0] == "A"]
        self.log = [(label, [m for m in messages if m[0] != "A"]) for label, messages in self.log]
        self.note("(notifications)", heard)

    def pipelined(self, segment):
        for s in segment:
            self.add(s)
        self.wire.sync()
        self.step(" | ".join(segment), any(isinstance(s, Commit) for s in segment), "Z")


def text(log):
    return [line for label, messages in log for line in (f"> {label}", *(f"  {m}" for m in messages))]


def script_of(scenario, way):
    table = {"turn": "easy", "table": "forced", "truncate": "emptied", "doom": "spare"}[way]
    number = next(numbers)
    return [type(s)(s.replace("{write}", WAYS[way]).replace("{table}", f"public.{table}").replace("{n}", str(number))) for s in scenario]


class Comparison:
    """Runs scripts on the plain server and on the member; what differs is told at the end."""

    def __init__(self, c, plain, way, before_commit=None):
        self.c, self.plain, self.way, self.before_commit = c, plain, way, before_commit
        self.different, self.scripts = [], 0
        self.monitor = c.connect(MEMBER)

    def replayed(self):
        with self.monitor.cursor() as cursor:
            cursor.execute("SELECT count FROM dadbs.stat_stages WHERE stage = 'apply'")
            return cursor.fetchone()[0]

    def play_on_plain(self, user, style, play):
        run = Run(self.plain.port, user, style)
        play(run)
        return run

    def run(self, name, user, style, play, always_replayed):
        plain = Background(self.play_on_plain, user, style, play)  # meanwhile
        got = Run(self.c.port + MEMBER - 1, user, style, self.before_commit)
        before, doomed = self.replayed(), self.before_commit.count if self.before_commit else 0
        try:
            play(got)
        except Exception as e:
            raise Failure(f"{name}, {style}, {self.way}: {e!r}, after\n" + "\n".join(text(got.log)[-8:])) from e
        expected = plain.result(60, f"{name}, {style} on the plain server")
        self.scripts += 1
        # Counted behind the answer.
        if self.before_commit:  # each has another member's transaction to it
            least = before + 2 * (self.before_commit.count - doomed)
            eventually(lambda: self.replayed() >= least, 20, f"{name}, {style}: {least} are replayed, {before} were before")
        elif self.way != "turn" and always_replayed and not any(m[0] == "E" for _, messages in expected.log for m in messages):
            eventually(lambda: self.replayed() > before, 20, f"{name}, {style}, {self.way}: something is replayed")
        if text(expected.log) != text(got.log):
            lines = difflib.unified_diff(text(expected.log), text(got.log), "Postgres", "the member", lineterm="", n=1)
            self.different.append(f"{name}, {style}, {self.way}:\n" + "\n".join(line[:400] for line in lines))

    def finish(self):
        self.monitor.close()
        check(not self.different, f"{len(self.different)} of {self.scripts} scripts differ:\n" + "\n".join(self.different))
        if self.before_commit:
            check(self.before_commit.count > self.scripts / 2, f"only {self.before_commit.count} dooms in {self.scripts} scripts")


def compare(c, plain, way, styles, before_commit=None):
    comparison = Comparison(c, plain, way, before_commit)
    for user, scenarios in ("app", SCENARIOS), ("postgres", SUPERUSER):
        for name, scenario in scenarios.items():
            for style in styles:
                script = script_of(scenario, way)
                comparison.run(name, user, style, lambda run, s=script: run.play(s), any(isinstance(s, Commit) for s in script))
    for scenario in PROTOCOL:
        comparison.run(scenario.__name__, "app", "", lambda run, f=scenario: (f(run, way), run.finish()), True)
    comparison.finish()


plain = None


def prepare(c):
    global plain
    if plain is None:
        plain = Plain(c)
        for statement in re.split(r";\n(?=[A-Z]|$)", SETUP):
            with Wire(plain.port) as w:
                messages = w.simple(statement)
                check(all(m[0] != "E" for m in messages), f"{statement}: {messages}")
            c.run(1, statement) if statement.strip() else None
        c.settle()
    return plain


@suite.test
def in_turn(c):
    compare(c, prepare(c), "turn", STYLES)


@suite.test
def replayed_for_its_table(c):
    compare(c, prepare(c), "table", STYLES)


@suite.test
def replayed_for_truncate(c):
    compare(c, prepare(c), "truncate", STYLES if LONG else ("simple", "pipelined"))


@suite.test
def doomed_while_held(c):
    doomer = Doomer(c)
    try:
        compare(c, prepare(c), "doom", ("simple", "string", "flushed", "pipelined") if LONG else ("simple", "pipelined"), doomer)
    finally:
        doomer.close()


# What an internal abort takes with it.
LOSSY = ["INSERT INTO scratch VALUES (1)", "CREATE TEMP TABLE scratch2 (a int)", "CREATE TEMP TABLE scratch2 AS SELECT 1 AS a",
         "ALTER TABLE scratch ADD COLUMN b int", "DROP TABLE scratch", "CREATE INDEX ON scratch (a)", "TRUNCATE scratch",
         "CREATE TEMP VIEW looks AS SELECT 1", "CREATE TEMP SEQUENCE counts", "CREATE TYPE pg_temp.kind AS (a int)",
         "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "COMMENT ON TABLE scratch IS 'x'",
         "DO $$BEGIN CREATE TEMP TABLE scratch2 (a int); END$$", "ALTER DATABASE shared SET work_mem = '7MB'",
         "SELECT pg_notify('other', 'called')"]
HARMLESS = ["SELECT * FROM scratch", "ANALYZE scratch", "REINDEX TABLE scratch", "DROP TABLE IF EXISTS not_there", "LISTEN own",
            "SET work_mem = '3MB'", "SAVEPOINT a; CREATE TEMP TABLE scratch2 (a int); INSERT INTO scratch2 VALUES (1); ROLLBACK TO a",
            "DECLARE h CURSOR WITH HOLD FOR SELECT * FROM scratch"]


def commit_with(c, statement, write, before_commit=None):
    """The answer to COMMIT of a transaction of these two, and whether it is committed after all."""
    with Wire(c.port + MEMBER - 1, seconds=60) as w:
        w.simple("CREATE TEMP TABLE scratch (a int)")
        rows = "SELECT (SELECT sum(v) FROM spare) + (SELECT count(*) FROM forced)"
        count = c.value(MEMBER, rows)
        for s in "BEGIN", statement, write:
            messages = w.simple(s)
            check(all(m[0] != "E" for m in messages), f"{s}: {messages}")
        w.query("COMMIT")
        if before_commit:
            before_commit(w)
        answer = w.until("Z", 60)
        equal(answer[-1], ("Z", "I"), "status after COMMIT")
        return answer[0], c.value(MEMBER, rows) != count


@suite.test
def what_cannot_be_replayed_is_refused(c):
    prepare(c)
    for statement in LOSSY:
        answer, committed = commit_with(c, statement, WAYS["table"])
        check(answer[0] == "E" and answer[1]["C"] == "0A000" and answer[1]["H"], f"{statement}: {answer}")
        equal(committed, False, f"committed: {statement}")
        equal(commit_with(c, statement, WAYS["turn"])[0], ("C", "COMMIT"), f"in its own turn: {statement}")
    for statement in HARMLESS:
        equal(commit_with(c, statement, WAYS["table"]), (("C", "COMMIT"), True), statement)


@suite.test
def what_was_lost_is_told(c):
    prepare(c)
    doomer = Doomer(c)
    try:
        for statement in LOSSY if LONG else LOSSY[:4] + LOSSY[-1:]:
            answer, committed = commit_with(c, statement, WAYS["doom"], doomer)
            check(answer[0] == "E" and answer[1]["C"] == "40003" and "was committed, but" in answer[1]["M"], f"{statement}: {answer}")
            equal(committed, True, f"committed: {statement}")
        for statement in HARMLESS:
            equal(commit_with(c, statement, WAYS["doom"], doomer), (("C", "COMMIT"), True), statement)
    finally:
        doomer.close()


if __name__ == "__main__":
    try:
        suite.main()
    finally:
        if plain:
            plain.stop()
